"""From an architecture's name to an untrained network."""

from torch import nn

from slimtune.errors import ModelError, UnknownNameError, did_you_mean, shortened
from slimtune.workload.own_code import is_code, names_nothing
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.own_model import own_model
from slimtune.workload.zoo.protocol import ZOO
from slimtune.workload.zoo.timm_zoo import timm_model
from slimtune.workload.zoo.torchvision_zoo import torchvision_model, torchvision_names

FAMILIES = ("torchvision", "timm")
"""Words before a colon; any other is the module or file of a network of the user's own."""


MOST_CLASSES, MOST_CHANNELS = 100_000, 1_000
"""A number beyond it was mistyped or planted, and its layers would not fit into memory."""


def build(architecture: Architecture) -> nn.Module:
    """Build the network with random weights, drawn from torch's global generator.

    Args:
        architecture: a zoo name such as ``"resnet20"``, ``"torchvision:NAME"``,
            ``"timm:NAME"``, or code: ``"FILE.py:NAME"``, ``"MODULE:NAME"``, see `own_model`;
            at least two classes and one channel.

    Returns:
        The network, in training mode, float32, on the CPU.

    Raises:
        UnknownNameError: no network has this name; the nearest is suggested.
        ModelError: the network cannot be built for this many classes or channels, or there are
            more of them than `MOST_CLASSES`, `MOST_CHANNELS`.
        ConfigError: it is code that nobody allowed to run.
    """
    name, classes, channels = architecture.name, architecture.num_classes, architecture.in_channels
    for value, most in ((classes, MOST_CLASSES), (channels, MOST_CHANNELS)):
        if type(value) is not int or value > most:
            raise ModelError(
                f"num_classes must be a whole number up to {MOST_CLASSES} and in_channels one up "
                f"to {MOST_CHANNELS}, but got {shortened(value)}; check the data or model.json"
            )
    if classes < 2 or channels < 1:
        raise ModelError(
            f"a classifier needs at least 2 classes and 1 channel, but got num_classes={classes} "
            f"and in_channels={channels}; check the data"
        )
    family, colon, member = name.partition(":")
    if not colon:
        _check_word(name)
        return ZOO[name](classes, channels)
    if family == "torchvision":
        return torchvision_model(member, classes, channels)
    if family == "timm":
        return timm_model(member, classes, channels)
    if is_code(name) and not names_nothing(name):
        return own_model(name, classes, channels)
    known = [*(f"torchvision:{each}" for each in torchvision_names()), f"timm:{member}"]
    raise UnknownNameError(
        f"unknown model family {shortened(family)} in {shortened(name)}."
        f"{did_you_mean(name, known)} Known: torchvision:NAME, timm:NAME, FILE.py:NAME, "
        "MODULE:NAME."
    )


def _check_word(name: str) -> None:
    """Check that a name without a colon is meant to have none.

    Raises:
        ModelError: it is a family or a file, of which one network is to be named.
    """
    if name in FAMILIES:
        raise ModelError(f"'{name}' needs a network after its name, such as {name}:resnet18")
    if name.endswith(".py") or "/" in name:
        raise ModelError(
            f"{shortened(name)} names no network; name a function of yours as FILE.py:NAME, such "
            "as ./net.py:make, and give weights with --weights"
        )
