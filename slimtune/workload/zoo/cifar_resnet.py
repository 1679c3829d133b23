"""The ResNets that He et al. designed for CIFAR: three resolution levels, 6n + 2 layers.

Names are ``resnet20`` (option A, shortcuts padded with zeros), ``resnet20b`` (option B,
projections) and ``resnet8x4`` (option A, every layer 4 times as wide, the stem included; the
network of that name in the distillation literature has a stem only twice as wide). Parameters
are named as in Yerlan Idelbayev's pytorch_resnet_cifar10, so its checkpoints load.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.workload.shortcut import PadShortcut
from slimtune.workload.zoo.protocol import ZOO


class CifarResNet(nn.Module):
    """The CIFAR ResNet of He et al. 2016 (arXiv:1512.03385) for images of any size and channels.

    Args:
        num_classes: width of the last layer.
        in_channels: channels of an image.
        depth: 6n + 2 layers: n blocks of two convolutions at each of three resolution levels.
        width: multiplies the 16, 32 and 64 channels of the levels.
        projection: option B, shortcuts that change shape are learned; else option A.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        depth: int,
        width: int = 1,
        projection: bool = False,
    ) -> None:
        super().__init__()
        blocks, channels = (depth - 2) // 6, 16 * width
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = _level(blocks, channels, channels, projection)
        self.layer2 = _level(blocks, channels, 2 * channels, projection)
        self.layer3 = _level(blocks, 2 * channels, 4 * channels, projection)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(4 * channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map images, (n, in_channels, height, width), to logits, (n, num_classes)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.pool(x).flatten(1))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them, added before the last ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride, projection)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, out_channels, h/stride, w/stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def _shortcut(in_channels: int, out_channels: int, stride: int, projection: bool) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    if not projection:
        return PadShortcut(in_channels, out_channels, stride)
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def _level(blocks: int, in_channels: int, out_channels: int, projection: bool) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, out_channels // in_channels, projection)
    others = (BasicBlock(out_channels, out_channels, 1, projection) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


for _depth in (8, 20, 32, 44, 56, 110):
    ZOO.register(f"resnet{_depth}")(partial(CifarResNet, depth=_depth))
    ZOO.register(f"resnet{_depth}b")(partial(CifarResNet, depth=_depth, projection=True))
for _depth, _width in ((8, 2), (8, 4), (32, 4)):
    ZOO.register(f"resnet{_depth}x{_width}")(partial(CifarResNet, depth=_depth, width=_width))
