"""The normalisation of a network, if its library states one."""

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from slimtune.workload.types import Dataset

_Numbers = tuple[tuple[float, ...], tuple[float, ...]]


def normalised_for(dataset: Dataset, name: str, network: nn.Module) -> Dataset:
    """Return the dataset with the network's own mean and deviation, where it may have them.

    What the user typed, or the data's own code set, stays; so does the default where the network
    states nothing, or numbers for images of other channels.

    Args:
        dataset: as it was loaded.
        name: of the network, as of `build`.
        network: the built network.
    """
    own = own_numbers(name, network)
    if dataset.normalised_by != "default" or own is None:
        return dataset
    mean, std = own
    if not len(mean) == len(std) == dataset.image_shape[0]:
        return dataset
    return dataclasses.replace(dataset, mean=mean, std=std, normalised_by="network")


def own_numbers(name: str, network: nn.Module) -> _Numbers | None:
    """Return mean and deviation that the network's library states, of pixels scaled to 0..1.

    Of timm's networks, also inside a network of the user's own, they are in ``pretrained_cfg``;
    of ``torchvision:NAME`` in the transforms of its default weights.

    Returns:
        (mean, std); None where nothing is stated, or parts of the network disagree.
    """
    stated = {_of_timm(module) for module in network.modules()} - {None}
    if name.startswith("torchvision:"):
        stated.add(_of_torchvision(name.removeprefix("torchvision:")))
    return stated.pop() if len(stated) == 1 else None


def _of_timm(module: nn.Module) -> _Numbers | None:
    stated = module.__dict__.get("pretrained_cfg")
    if stated is None:
        return None
    get = stated.get if isinstance(stated, Mapping) else lambda key: getattr(stated, key, None)
    return _pair(get("mean"), get("std"))


def _of_torchvision(name: str) -> _Numbers | None:
    try:
        weights: Any = import_module("torchvision.models").get_model_weights(name)
        transforms = weights.DEFAULT.transforms()
        return _pair(transforms.mean, transforms.std)
    except (ValueError, AttributeError):  # a network without weights, or other transforms
        return None


def _pair(mean: Any, std: Any) -> _Numbers | None:
    """Return the two as numbers, or None where they are something else."""
    try:
        pair = tuple(map(float, mean)), tuple(map(float, std))
    except (TypeError, ValueError):
        return None
    return pair if pair[0] and pair[1] and min(pair[1]) > 0 else None
