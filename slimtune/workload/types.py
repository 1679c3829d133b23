"""What is compressed, as plain data: images, splits, the baseline. No reading, no building."""

from dataclasses import dataclass, field

import numpy as np
from torch import nn


@dataclass(frozen=True)
class Split:
    """Images and their labels.

    Attributes:
        images: uint8, (n, height, width, channels), 0..255, not normalised.
        labels: int64, (n,), 0..classes-1.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """Return the images at ``indices``, in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image, made on raw pixels before normalisation.

    Attributes:
        padding: pixels of black border added on each side before a crop of the original size.
        flip: mirror left to right with probability one half.
    """

    padding: int = 0
    flip: bool = False


@dataclass(frozen=True)
class Dataset:
    """A labelled image dataset as its source gives it.

    Attributes:
        name: the reference it was loaded by, such as ``"digits"`` or ``"parquet:DIR"``.
        train: images to learn from; a validation split may be cut from it.
        test: images that were never trained on.
        classes: one name a label.
        mean: per channel, of pixels scaled to 0..1.
        std: per channel, of pixels scaled to 0..1.
        augmentation: what training does to each image.
        validation: images to select on, where the source sets some apart; else None.
        notes: what the source skipped or interpreted, with counts; one sentence each.
        normalised_by: where mean and std come from: ``"option"`` (typed), ``"data"`` (the code
            that made this), ``"network"``, or ``"default"``, which the network's own replace.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation = field(default_factory=Augmentation)
    validation: Split | None = None
    notes: tuple[str, ...] = ()
    normalised_by: str = "data"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        height, width, channels = self.train.images.shape[1:]
        return channels, height, width


@dataclass(frozen=True)
class Architecture:
    """How to build an untrained network again: a name and the two sizes it depends on.

    Attributes:
        name: of the zoo, ``torchvision:NAME``, ``timm:NAME``, or code of the user's own.
        num_classes: width of the last layer.
        in_channels: channels of an image.
    """

    name: str
    num_classes: int
    in_channels: int


@dataclass(frozen=True)
class Workload:
    """What one search compresses: data, split once and for all, and the trained baseline.

    Attributes:
        dataset: the name of the dataset.
        train: what fine-tuning and calibration see.
        validation: what the search selects on.
        test: touched only by the baseline and by the final front.
        classes: one name a label.
        mean: per channel, of pixels scaled to 0..1; part of every exported file.
        std: per channel, of pixels scaled to 0..1; part of every exported file.
        augmentation: what training does to each image.
        architecture: how to build the baseline's network again.
        baseline: the trained float network, in eval mode; never modified.
        teacher: the network that students learn from; None: the baseline. Never modified.
        validation_source: what validation was cut from, ``"train"`` or ``"test"``; ``"val"``
            where the source sets it apart.
        notes: of the dataset, to be told to the user.
        normalised_by: where mean and std come from, as in `Dataset`.
        unprunable_groups: why groups of channels of other students cannot be cut, by the
            student's model and weights, then by the group's name. The search fills it before
            the first trial, so that no trial has to find out; the baseline remembers its own.
    """

    dataset: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    architecture: Architecture
    baseline: nn.Module
    teacher: nn.Module | None = None
    validation_source: str = "train"
    notes: tuple[str, ...] = ()
    normalised_by: str = "default"
    unprunable_groups: dict[tuple[str, str | None], dict[str, str]] = field(default_factory=dict)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        height, width, channels = self.train.images.shape[1:]
        return channels, height, width
