"""Completes raw splits to a checked dataset: labels, normalisation, default augmentation."""

import numpy as np

from slimtune.errors import DataError, shortened
from slimtune.workload.normalisation import NORMALISATIONS
from slimtune.workload.splits import stratified_split
from slimtune.workload.types import Augmentation, Dataset, Split

_AT_A_TIME = 1000

IMAGENET_MEAN, IMAGENET_STD = NORMALISATIONS["imagenet"]
"""Per channel (red, green, blue), of pixels scaled to 0..1."""


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, of pixels scaled to 0..1.

    They come from a histogram of the 256 possible values, so they are exact and need no copy
    of the images. A constant channel gets a deviation of one grey level,
    to stay divisible by.

    Args:
        images: uint8, (n, height, width, channels).
    """
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        counts = _histogram(images, channel)
        mean = float(counts @ levels / counts.sum())
        variance = float(counts @ (levels - mean) ** 2 / counts.sum())
        means.append(mean)
        deviations.append(max(variance**0.5, 1 / 255))
    return tuple(means), tuple(deviations)


def _histogram(images: np.ndarray, channel: int) -> np.ndarray:
    """Return how often each of the 256 values is in a channel, int64."""
    counts = np.zeros(256, dtype=np.int64)
    # Some images at a time: `bincount` copies them to eight bytes a pixel.
    for start in range(0, len(images), _AT_A_TIME):
        part = images[start : start + _AT_A_TIME, ..., channel]
        counts += np.bincount(part.reshape(-1), minlength=256)
    return counts


TEST_SHARE = 0.2
_TEST_SEED = 0  # part of what the reference means, never a setting


def set_apart(whole: Split, name: str) -> tuple[Split, Split]:
    """Return (train, test), the test split a fixed, stratified `TEST_SHARE` of the images.

    Raises:
        DataError: no class has two images to share.
    """
    rest, part = stratified_split(whole.labels, TEST_SHARE, _TEST_SEED)
    if len(part) == 0:
        raise DataError(f"'{name}': has no test images and none to spare; add some")
    return whole.take(rest), whole.take(part)


def natural_images(
    name: str,
    train: Split,
    test: Split,
    classes: tuple[str, ...],
    *,
    validation: Split | None = None,
    flip: bool = True,
) -> Dataset:
    """Check two splits of photographs and complete them to a dataset.

    Three channels are normalised by ImageNet's mean and deviation: most checkpoints, the
    third-party CIFAR-10 ones included, were trained with them. One channel is normalised by
    its own statistics over train. Both are defaults, which the network's own numbers and an
    option override. Training pads by an eighth of the height and, unless
    told otherwise, mirrors.

    Args:
        name: the reference the data was loaded by.
        train: images of one size, (n, height, width, channels).
        test: images of the same size.
        classes: one name a label.
        validation: images to select on, if the source has any.
        flip: whether training mirrors: not where left and right make a difference to the label.

    Raises:
        DataError: see `check_labels`.
    """
    check_labels(name, train.labels, test.labels, classes)
    if validation is not None:
        check_labels(name, train.labels, validation.labels, classes, part="validation")
    colour = train.images.shape[-1] == 3
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if colour else channel_statistics(train.images)
    padding = max(1, round(train.images.shape[1] / 8))
    augmentation = Augmentation(padding=padding, flip=flip)
    return Dataset(
        name, train, test, classes, mean, std, augmentation, validation, normalised_by="default"
    )


def check_labels(
    name: str,
    train: np.ndarray,
    test: np.ndarray,
    classes: tuple[str, ...],
    *,
    part: str = "test",
) -> None:
    """Check that train has every label of 0..classes-1 and no other, and ``test`` no other.

    Args:
        name: of the data, for messages.
        train: labels of the training images, (n,).
        test: labels of another part, (m,).
        classes: one name a label.
        part: what messages call ``test``.

    Raises:
        DataError: a split is empty; fewer than two classes; a label outside the range; a
            class without a training image.
    """
    for split, labels in (("train", train), (part, test)):
        if len(labels) == 0:
            raise DataError(f"'{name}': {split} has no images; give at least one a class")
    if len(classes) < 2:
        raise DataError(f"'{name}': needs at least 2 classes, but has {len(classes)}: {classes}")
    for split, labels in (("train", train), (part, test)):
        strange = labels[(labels < 0) | (labels >= len(classes))]
        if len(strange):
            raise DataError(
                f"'{name}': labels must be 0..{len(classes) - 1}, but {split} has "
                f"{int(strange[0])}; renumber the labels or remove those images"
            )
    absent = np.setdiff1d(np.arange(len(classes)), train)
    if len(absent):
        raise DataError(
            f"'{name}': labels must be 0..{len(classes) - 1} without gaps, but no training image "
            f"has label {absent[0]} ({shortened(classes[absent[0]])}); renumber or add images"
        )
