"""Any classifier of torchvision, untrained, by the name torchvision gives it."""

from importlib import import_module
from typing import Any

from torch import nn

from slimtune.errors import ModelError, UnknownNameError, did_you_mean, shortened

# Their extra outputs exist only while training and would need a loss of their own.
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


def torchvision_names() -> list[str]:
    """Return the classifiers that torchvision builds; detectors and the like are left out."""
    models = _models()
    names: list[str] = models.list_models(module=models)
    return names


def torchvision_model(name: str, num_classes: int, in_channels: int) -> nn.Module:
    """Build torchvision's network ``name`` with random weights.

    For images that do not have three channels, the first convolution is replaced by one that
    fits, with He initialisation.

    Args:
        name: as in ``torchvision.models``, such as ``"mobilenet_v2"``.
        num_classes: width of the last layer.
        in_channels: channels of an image.

    Raises:
        UnknownNameError: torchvision has no such classifier; the nearest is suggested.
        ModelError: the network has no first convolution to replace.
    """
    known = torchvision_names()
    if name not in known:
        raise UnknownNameError(
            f"unknown torchvision model {shortened(name)}.{did_you_mean(name, known)} "
            "torchvision.models.list_models() names them all."
        )
    extra = {"aux_logits": False, "init_weights": True} if name in _WITH_AUXILIARY_HEADS else {}
    model: nn.Module = _models().get_model(name, weights=None, num_classes=num_classes, **extra)
    if in_channels != 3:
        _replace_first_conv(model, name, in_channels)
    return model


def _models() -> Any:
    """Import torchvision where a network of it is built: it takes seconds and 90 MB."""
    return import_module("torchvision.models")


def _replace_first_conv(model: nn.Module, name: str, in_channels: int) -> None:
    for path, old in model.named_modules():
        if isinstance(old, nn.Conv2d) and old.in_channels == 3 and old.groups == 1:
            new = nn.Conv2d(
                in_channels,
                old.out_channels,
                old.kernel_size,  # type: ignore[arg-type]
                old.stride,  # type: ignore[arg-type]
                old.padding,  # type: ignore[arg-type]
                old.dilation,  # type: ignore[arg-type]
                bias=old.bias is not None,
            )
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
            model.set_submodule(path, new)
            return
    raise ModelError(
        f"'torchvision:{name}' takes images of 3 channels, but the data has {in_channels}; "
        "choose another network or convert the images to RGB"
    )
