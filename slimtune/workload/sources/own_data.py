"""Data that a function of the user's own loads."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from slimtune.errors import DataError
from slimtune.workload.factories import call_factory
from slimtune.workload.normalisation import NORMALISATIONS, read_numbers, resolved
from slimtune.workload.own_code import called
from slimtune.workload.sources.arrays import from_arrays
from slimtune.workload.sources.assembly import check_labels
from slimtune.workload.sources.fit import Fit
from slimtune.workload.types import Dataset, Split


def own_data(reference: str, fit: Fit) -> Dataset:
    """Load the data that ``FILE.py:NAME`` or ``MODULE:NAME`` returns.

    NAME is called without arguments and returns arrays by name, as `from_arrays` wants them; a
    tuple (x_train, y_train, x_test, y_test); or a `Dataset`, which sets normalisation (in numbers
    or by a name such as ``"half"``) and augmentation as well. Called again, it must return the
    same.

    Args:
        reference: of a function.
        fit: what the images shall be brought to.

    Raises:
        ConfigError: nobody allowed to run this code.
        DataError: it cannot be loaded, fails, or returns something else.
    """
    made, name = call_factory(reference, DataError), called(reference)
    if isinstance(made, Dataset):
        return _checked(made, name, fit)
    if isinstance(made, tuple | list) and len(made) == 4:
        made = dict(zip(("x_train", "y_train", "x_test", "y_test"), made, strict=True))
    if not isinstance(made, Mapping):
        raise DataError(
            f"{name} returned {type(made).__name__}, expected arrays by name (x_train, "
            "y_train, ...), four of them, or a slimtune Dataset"
        )
    return from_arrays(name, made, fit)


def _checked(made: Dataset, reference: str, fit: Fit) -> Dataset:
    splits = {"train": made.train, "test": made.test, "validation": made.validation}
    for name, split in splits.items():
        if split is None:
            continue
        images, labels = np.asarray(split.images), np.asarray(split.labels)
        if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int64:
            raise DataError(
                f"{reference}: {name} must be uint8 images (n, height, width, channels) with "
                f"int64 labels, but is {images.dtype} {images.shape} with {labels.dtype}"
            )
        if len(images) != len(labels) or images.shape[1:] != made.train.images.shape[1:]:
            raise DataError(f"{reference}: {name} must have images of one shape, and a label each")
        part = "test" if name == "train" else name
        check_labels(reference, made.train.labels, labels, made.classes, part=part)
    channels = made.train.images.shape[3]
    mean, std = _numbers(made, channels, reference)
    fitted = {n: s and Split(fit.applied(s.images), s.labels) for n, s in splits.items()}
    if fit.channels not in (None, channels) and fit.mean is None and fit.std is None:
        raise DataError(f"{reference}: sets its own normalisation; let it return the channels too")
    if fit.flip is not None:
        raise DataError(
            f"{reference}: sets its own augmentation, so flip cannot be given; let it return "
            f"Augmentation(flip={fit.flip})"
        )
    untouched = made.normalised_by == "default" and (mean, std) == NORMALISATIONS["imagenet"]
    origin = "default" if untouched else "data"  # of a dataset of ours, perhaps changed
    made = dataclasses.replace(made, name=reference, mean=mean, std=std, normalised_by=origin)
    return dataclasses.replace(made, **fitted)  # type: ignore[arg-type]


def _numbers(
    made: Dataset, channels: int, reference: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of a dataset, whose author may have named them."""
    given = (made.mean, made.std)
    if any(isinstance(each, str | int | float) for each in given):
        mean, std = (read_numbers(k, v) for k, v in zip(("mean", "std"), given, strict=True))
        return resolved(mean, std, channels, reference)
    if len(made.mean) != channels or len(made.std) != channels or min(made.std) <= 0:
        raise DataError(f"{reference}: mean and std need {channels} values each, std above 0")
    return made.mean, made.std
