"""Any classifier of timm (PyTorch Image Models), untrained, where timm is installed."""

import importlib
from types import ModuleType

from torch import nn

from slimtune.errors import ModelError, UnknownNameError, did_you_mean, shortened


def timm_model(name: str, num_classes: int, in_channels: int) -> nn.Module:
    """Build timm's network ``name`` with random weights.

    Args:
        name: as in ``timm.list_models()``, such as ``"mobilenetv3_small_100"``.
        num_classes: width of the last layer.
        in_channels: channels of an image.

    Raises:
        UnknownNameError: timm has no such network; the nearest is suggested.
        ModelError: timm is not installed, or cannot build it for this many channels.
    """
    timm = _timm(name)
    known: list[str] = timm.list_models()
    if name not in known:
        raise UnknownNameError(
            f"unknown timm model {shortened(name)}.{did_you_mean(name, known)} "
            "timm.list_models() names them all."
        )
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=False, num_classes=num_classes, in_chans=in_channels
        )
    except Exception as error:  # each architecture has rules of its own
        raise ModelError(
            f"'timm:{name}' cannot be built for {num_classes} classes and {in_channels} channels: "
            f"{(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error
    return network


def _timm(name: str) -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise ModelError(
            f"'timm:{shortened(name)[1:-1]}' needs the timm extra: pip install 'slimtune[timm]'"
        ) from None
