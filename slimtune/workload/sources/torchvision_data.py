"""Any of torchvision's labelled image datasets that has a training and a test part."""

import dataclasses
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from slimtune.errors import DataError, UnknownNameError, did_you_mean, shortened
from slimtune.workload.sources.assembly import natural_images
from slimtune.workload.sources.cifar import cache_folder
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.protocol import SOURCES
from slimtune.workload.sources.room import check_room
from slimtune.workload.types import Dataset, Split

_PARTS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "USPS"), ("train", True, False)
    ),
    **dict.fromkeys(
        ("Food101", "GTSRB", "STL10", "StanfordCars", "SVHN"), ("split", "train", "test")
    ),
    **dict.fromkeys(
        ("DTD", "FGVCAircraft", "Flowers102", "RenderedSST2"), ("split", "train", "test", "val")
    ),
    "Country211": ("split", "train", "test", "valid"),
    "Imagenette": ("split", "train", "val"),
    "OxfordIIITPet": ("split", "trainval", "test"),
}  # fmt: skip
"""Dataset -> the option that chooses its part, and the option's value for training, for testing,
and for selecting where it has a part for that. Those that fit into memory and label each image
with one class."""

_NOT_USED = {
    "Imagenette": "'val' is the test part, because there is no other",
    "STL10": "left out its part 'unlabeled': 100000 images without labels",
    "SVHN": "left out its part 'extra': 531131 images",
}
"""Dataset -> the note on its other parts."""

_NEVER_MIRRORED = frozenset({"GTSRB", "KMNIST", "MNIST", "RenderedSST2", "SVHN", "USPS"})
"""Digits, letters, text and traffic signs: mirrored they mean nothing, or something else."""


@SOURCES.register("torchvision")
def load_torchvision(argument: str, fit: Fit = AS_IT_IS) -> Dataset:
    """Load ``torchvision.datasets.NAME``, downloaded once into slimtune's cache folder.

    Those with a training and a test part, and a part to select on where there is one: MNIST,
    FashionMNIST, KMNIST, SVHN, Flowers102 and others. All images get the size of the first one,
    or that of ``fit``. Those of digits, letters, text or traffic signs are not mirrored in
    training.

    Args:
        argument: the name of a class of ``torchvision.datasets``.
        fit: what the images shall be brought to.

    Raises:
        UnknownNameError: no such dataset; the nearest is suggested.
        DataError: it is not in the cache and cannot be downloaded.
    """
    if argument not in _PARTS:
        raise UnknownNameError(
            f"unknown torchvision dataset {shortened(argument)}."
            f"{did_you_mean(argument, _PARTS)} Known: {', '.join(_PARTS)}."
        )
    kind = getattr(import_module("torchvision.datasets"), argument)
    option, *values = _PARTS[argument]
    folder = cache_folder()
    try:
        parts = [kind(folder, download=True, **{option: value}) for value in values]
    except Exception as error:  # each dataset reads its own formats
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"'torchvision:{argument}' is not in {folder} and cannot be downloaded "
            f"({shortened(reason, 160)}); put its files there"
        ) from error
    train, test, *others = _splits(parts, fit)
    names = getattr(parts[0], "classes", None) or range(int(train.labels.max()) + 1)
    classes = tuple(map(str, names))
    flip = argument not in _NEVER_MIRRORED
    validation = others[0] if others else None
    made = natural_images(
        f"torchvision:{argument}", train, test, classes, validation=validation, flip=flip
    )
    return dataclasses.replace(made, notes=tuple(filter(None, [_NOT_USED.get(argument)])))


def _splits(parts: list[Any], fit: Fit) -> list[Split]:
    first: Image.Image = parts[0][0][0]
    size = fit.size or first.size[::-1]
    channels = fit.channels or (1 if first.mode in ("1", "L", "LA") else 3)
    count = sum(map(len, parts))
    what = f"{count} images of {size[0]}x{size[1]} pixels"
    check_room(what, count * size[0] * size[1] * channels, "add @size=HEIGHTxWIDTH")
    made = []
    for part in parts:
        images = np.empty((len(part), *size, channels), np.uint8)
        labels = np.empty(len(part), np.int64)
        for index in range(len(part)):
            image, labels[index] = part[index]
            images[index] = Fit.of_image(image, size, channels)
        made.append(Split(images, labels))
    return made
