"""CIFAR-10 and CIFAR-100, downloaded once by torchvision into slimtune's cache folder."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from slimtune.errors import DataError
from slimtune.workload.sources.assembly import natural_images
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.protocol import SOURCES, refuse_argument
from slimtune.workload.types import Dataset, Split


@SOURCES.register("cifar10")
def load_cifar10(argument: str = "", fit: Fit = AS_IT_IS) -> Dataset:
    """Load CIFAR-10: 50,000 + 10,000 colour images of 32x32 pixels in 10 classes.

    Args:
        argument: must be empty.
        fit: what the images shall be brought to.

    Raises:
        DataError: it is not in the cache and cannot be downloaded.
    """
    refuse_argument("cifar10", argument)
    return _load("cifar10", "CIFAR10", fit)


@SOURCES.register("cifar100")
def load_cifar100(argument: str = "", fit: Fit = AS_IT_IS) -> Dataset:
    """Load CIFAR-100: 50,000 + 10,000 colour images of 32x32 pixels in 100 classes.

    Args:
        argument: must be empty.
        fit: what the images shall be brought to.

    Raises:
        DataError: it is not in the cache and cannot be downloaded.
    """
    refuse_argument("cifar100", argument)
    return _load("cifar100", "CIFAR100", fit)


def cache_folder() -> Path:
    """Return where downloads are kept: ``slimtune`` under XDG_CACHE_HOME or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slimtune"


def _load(name: str, of_torchvision: str, fit: Fit) -> Dataset:
    # Imported here: workers, which get the images, need no torchvision.
    kind = getattr(import_module("torchvision.datasets"), of_torchvision)
    folder = cache_folder()
    try:
        # torchvision compares every file with its published MD5 before it opens it.
        train = kind(folder, train=True, download=True)
        test = kind(folder, train=False)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"'{name}' is not in {folder} and cannot be downloaded ({error}); put "
            f"{kind.filename} from {kind.url} there, or use parquet:DIR with the shards of the "
            "Hugging Face hub"
        ) from error
    return natural_images(name, _split(train, fit), _split(test, fit), tuple(train.classes))


def _split(part: Any, fit: Fit) -> Split:
    return Split(fit.applied(np.asarray(part.data)), np.asarray(part.targets, dtype=np.int64))
