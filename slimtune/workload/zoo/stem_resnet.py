"""ImageNet's ResNets with a stem for small images: 3x3, stride 1, no max-pooling."""

from functools import partial
from importlib import import_module

from torch import nn

from slimtune.workload.zoo.protocol import ZOO


def stem_resnet(num_classes: int, in_channels: int, *, name: str) -> nn.Module:
    """Build one of torchvision's ResNets and change its stem, as is usual for CIFAR.

    With the original stem an image of 32x32 pixels would reach the last resolution level as
    a single pixel; without it, that level sees 4x4 pixels.

    Args:
        num_classes: width of the last layer.
        in_channels: channels of an image.
        name: torchvision's ``resnet18``, ``resnet34`` or ``resnet50``.
    """
    build = getattr(import_module("torchvision.models"), name)
    model: nn.Module = build(weights=None, num_classes=num_classes)
    model.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return model


ZOO.register("resnet18")(partial(stem_resnet, name="resnet18"))
ZOO.register("resnet34")(partial(stem_resnet, name="resnet34"))
ZOO.register("resnet50")(partial(stem_resnet, name="resnet50"))
