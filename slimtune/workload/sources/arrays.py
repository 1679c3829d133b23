"""A dataset from plain arrays, of ``npz:FILE`` or of a function of the user's."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from slimtune.errors import DataError, did_you_mean, shortened
from slimtune.workload.sources.assembly import TEST_SHARE, natural_images, set_apart
from slimtune.workload.sources.fit import Fit
from slimtune.workload.sources.parts import part_of
from slimtune.workload.types import Dataset, Split

NAMES = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "classes")
_MOST_CHANNELS = 4
_MOST_CLASSES = 100_000


def from_arrays(name: str, arrays: Mapping[str, object], fit: Fit) -> Dataset:
    """Return the dataset that named arrays make.

    The parts may be called by any of `PART_WORDS`, such as ``x_valid``, in any case.
    ``x_train`` and ``y_train`` are needed; ``x_test`` and ``y_test`` are a fixed, stratified 20 %
    of them if not given; ``x_val`` and ``y_val``, if given, are what a search selects on;
    ``classes`` has one name a label, else they are "0".."k-1". Images are uint8, 0..255, as
    (n, height, width), (n, height, width, channels) or (n, channels, height, width), with 1 to 4
    channels; where both of the last two can be meant, channels come last. Labels are integers
    0..k-1.

    Args:
        name: to call the data by in messages, and the dataset's name.
        arrays: by name; others are refused.
        fit: what the images shall be brought to.

    Raises:
        DataError: an array that is missing, unknown, or of another type or shape.
    """
    arrays = _by_known_name(name, arrays)
    train = _split(name, arrays, "train", fit)
    if train is None:
        raise DataError(f"{name}: has no array x_train; name the arrays {', '.join(NAMES)}")
    validation, test = (_split(name, arrays, part, fit) for part in ("val", "test"))
    notes = []
    if test is None:
        train, test = set_apart(train, name)
        notes = [f"there is no x_test: a fixed {TEST_SHARE:.0%} of x_train are the test images"]
    for other in (test, validation):
        if other is not None and other.images.shape[1:] != train.images.shape[1:]:
            raise DataError(
                f"{name}: all images must have one shape, but train has "
                f"{train.images.shape[1:]} and others {other.images.shape[1:]}; resize them, "
                "or add @size=HxW to the reference"
            )
    classes = _classes(name, arrays, train)
    made = natural_images(name, train, test, classes, validation=validation)
    return dataclasses.replace(made, notes=tuple(notes))


def _by_known_name(name: str, arrays: Mapping[str, object]) -> dict[str, object]:
    """Return the arrays by their names in `NAMES`.

    Raises:
        DataError: an unknown name, or two that mean the same.
    """
    found: dict[str, object] = {}
    given: dict[str, object] = {}
    for key, array in arrays.items():
        axis, _, word = str(key).lower().partition("_")
        known = f"{axis}_{part_of(word)}" if word else axis
        if known not in NAMES:
            raise DataError(
                f"{name}: unknown array {shortened(key)}.{did_you_mean(key, NAMES)} "
                f"Known: {', '.join(NAMES)}"
            )
        if known in found:
            raise DataError(
                f"{name}: arrays {shortened(given[known])} and {shortened(key)} both mean "
                f"{known}; leave one out"
            )
        found[known], given[known] = array, key
    return found


def _split(name: str, arrays: Mapping[str, object], part: str, fit: Fit) -> Split | None:
    x, y = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
    if x is None and y is None:
        return None
    if x is None or y is None:
        there, missing = ("y", "x") if x is None else ("x", "y")
        raise DataError(f"{name}: has {there}_{part} but no {missing}_{part}; give both")
    images = _images(f"{name}: x_{part}", np.asarray(x))
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{name}: y_{part} must be integers of shape (n,), but is {labels.dtype} of shape "
            f"{labels.shape}; number the classes from 0{_label_words(labels)}"
        )
    if len(images) != len(labels):
        counts = f"x_{part} has {len(images)} images, y_{part} {len(labels)} labels"
        raise DataError(f"{name}: {counts}; give one label an image")
    if labels.min(initial=0) < 0:
        raise DataError(
            f"{name}: y_{part} must be 0..k-1, but one is {labels.min()}; number the classes "
            "from 0"
        )
    return Split(fit.applied(images), labels.astype(np.int64))


def _images(what: str, images: np.ndarray) -> np.ndarray:
    """Return images as uint8, (n, height, width, channels)."""
    if images.dtype != np.uint8:
        raise DataError(
            f"{what} must be uint8 pixels, 0..255, but is {images.dtype}{_pixel_words(images)}"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim == 4 and min(images.shape[1:]) > 0:
        if images.shape[3] <= _MOST_CHANNELS:
            return np.ascontiguousarray(images)
        if images.shape[1] <= _MOST_CHANNELS:
            return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    raise DataError(
        f"{what} must be (n, height, width), or with 1 to {_MOST_CHANNELS} channels behind it or "
        f"before height, but has shape {images.shape}"
    )


def _pixel_words(images: np.ndarray) -> str:
    """Return what pixels of another type are, and how they become uint8."""
    if images.dtype.kind not in "fiu" or images.size == 0:
        return "; give the images as one array of numbers"
    low, high = images.min(), images.max()
    if low < 0:
        return (
            f" from {low:.3g} to {high:.3g}; give the pixels from before they were normalised: "
            "slimtune does that by itself (preprocessing: mean and std)"
        )
    factor = "x" if high > 1 else "(x * 255)"
    rounded = ".round()" if images.dtype.kind == "f" else ""
    return f" from {low:.3g} to {high:.3g}; convert it by {factor}{rounded}.astype('uint8')"


def _label_words(labels: np.ndarray) -> str:
    """Return how labels of another form become integers."""
    if labels.ndim == 2:
        return ": y.argmax(axis=1), if each row has a 1 for its class"
    if labels.ndim == 1 and labels.dtype.kind == "f":
        return ": y.astype('int64')"
    return ": classes, y = np.unique(y, return_inverse=True)" if labels.ndim == 1 else ""


def _classes(name: str, arrays: Mapping[str, object], train: Split) -> tuple[str, ...]:
    if (given := arrays.get("classes")) is not None:
        return tuple(_word(name, each) for each in np.asarray(given).reshape(-1).tolist())
    largest = int(train.labels.max(initial=-1))
    if largest >= _MOST_CLASSES:
        raise DataError(f"{name}: labels must be 0..k-1, but one is {largest}; number the classes")
    return tuple(str(label) for label in range(largest + 1))


def _word(name: str, given: object) -> str:
    """Return a class's name; NumPy keeps text as bytes too."""
    try:
        return given.decode() if isinstance(given, bytes) else str(given)
    except UnicodeDecodeError:
        raise DataError(
            f"{name}: classes must be text, in UTF-8 where they are bytes, but one is "
            f"{shortened(given)}; save them as str"
        ) from None
