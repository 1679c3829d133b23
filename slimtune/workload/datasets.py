"""From a reference such as ``digits`` or ``parquet:DIR`` to a dataset in memory."""

import dataclasses
from pathlib import Path

from slimtune.errors import DataError, shortened
from slimtune.workload.normalisation import resolved
from slimtune.workload.own_code import is_code, names_nothing
from slimtune.workload.sources import SOURCES
from slimtune.workload.sources.fit import parse_fit, split_options
from slimtune.workload.sources.own_data import own_data
from slimtune.workload.types import Dataset


def load_dataset(reference: str) -> Dataset:
    """Load the dataset that ``reference`` names.

    Args:
        reference: the name of a source, and after a colon what that source needs: ``digits``,
            ``cifar10``, ``cifar100``, ``folder:DIR``, ``parquet:DIR``, ``npz:FILE``,
            ``torchvision:NAME``; or code, ``FILE.py:NAME`` or ``MODULE:NAME``, see `own_data`.
            ``@size=HEIGHTxWIDTH``, ``@channels=1``, ``@flip=0``, ``@mean=M``, ``@std=S`` or
            several with commas may follow.

    Returns:
        All images in memory as uint8, NHWC; labels are 0..classes-1, and every class has a
        training image.

    Raises:
        UnknownNameError: no source has this name; the nearest is suggested.
        DataError: the data is missing, damaged or breaks a rule; the message names the file.
        ConfigError: it is code that nobody allowed to run.
    """
    if not isinstance(reference, str):
        raise DataError(f"a dataset is named by a string, but got {shortened(reference)}")
    plain, options = split_options(reference)
    fit = parse_fit(options)
    if is_data_code(plain):
        dataset = own_data(plain, fit)
    else:
        name, colon, argument = plain.partition(":")
        if not colon:
            _check_word(name)
        dataset = SOURCES[name](argument, fit)
    augmentation = dataset.augmentation
    if fit.flip is not None:
        augmentation = dataclasses.replace(augmentation, flip=fit.flip)
    dataset = dataclasses.replace(dataset, name=reference, augmentation=augmentation)
    if fit.mean is None and fit.std is None:
        return dataset
    mean, std = resolved(fit.mean, fit.std, dataset.image_shape[0], reference)
    return dataclasses.replace(dataset, mean=mean, std=std, normalised_by="option")


def _check_word(name: str) -> None:
    """Check that a name without a colon is meant to have none.

    Raises:
        DataError: it is a file or folder, whose kind is to be said.
    """
    if name in SOURCES.names() or not (Path(name).exists() or "/" in name):
        return
    kinds = {".py": f"{name}:NAME", ".npz": f"npz:{name}", "": f"folder:{name}"}
    suffix = "" if Path(name).is_dir() else Path(name).suffix
    known = f"; write {kinds[suffix]}" if suffix in kinds else ""
    raise DataError(
        f"{shortened(name)} names no dataset{known or '; write folder:DIR, parquet:DIR, npz:FILE'}"
    )


def is_data_code(reference: str) -> bool:
    """Return whether a reference names a function of the user's own, and not a source."""
    return is_code(reference, SOURCES.names()) and not names_nothing(reference)
