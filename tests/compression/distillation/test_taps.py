import copy

import pytest
import torch
import torchvision.models
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from slimtune.compression.distillation.taps import evaluating, find_levels
from slimtune.compression.quantization.fake_quantizers.layers import (
    InputQuantizer,
    WeightQuantizer,
    insert,
)
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

EXAMPLE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture(name, 10, 3))


def outline(net: nn.Module, example: Tensor = EXAMPLE) -> list[tuple[str, int, int]]:
    """(module, height, channels) of what each level gives."""
    levels = find_levels(net, example).values()
    return [(s.last.name, s.last.size[0], s.last.channels) for s in levels]


RESIDUAL = [("layer1", 32), ("layer2", 16), ("layer3", 8)]


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet20", (16, 32, 64)),
        ("resnet20b", (16, 32, 64)),
        ("resnet56", (16, 32, 64)),
        ("resnet8x4", (64, 128, 256)),
    ],
)
def test_the_stages_of_a_cifar_resnet_are_its_three_layers(
    name: str, channels: tuple[int, ...]
) -> None:
    expected = [(*row, c) for row, c in zip(RESIDUAL, channels, strict=True)]
    assert outline(network(name)) == expected
    assert outline(materialize_shortcuts(network(name))) == expected


@pytest.mark.parametrize(("name", "width"), [("resnet18", 64), ("resnet50", 256)])
def test_the_stages_of_an_imagenet_resnet_are_its_four_layers(name: str, width: int) -> None:
    """Inside ResNet-50's halving blocks the first convolution still gives whole maps."""
    assert outline(network(name)) == [(f"layer{i + 1}", 32 >> i, width << i) for i in range(4)]


def test_each_stage_of_a_resnet_begins_where_the_one_before_it_ends() -> None:
    levels = list(find_levels(network("resnet20"), EXAMPLE).values())
    assert [(s.first.name, s.first.reads) for s in levels] == [
        ("layer1", True), ("layer2", True), ("layer3", True)
    ]  # fmt: skip
    for before, after in zip(levels, levels[1:], strict=False):
        assert (after.first.size, after.first.channels) == (before.last.size, before.last.channels)


def test_the_stages_of_mobilenet_end_with_the_last_block_before_each_halving() -> None:
    assert outline(network("torchvision:mobilenet_v2")) == [
        ("features.1", 16, 16),
        ("features.3", 8, 24),
        ("features.6", 4, 32),
        ("features.13", 2, 96),
    ]


def test_the_stages_of_densenet_are_its_dense_blocks() -> None:
    assert outline(network("torchvision:densenet121")) == [
        ("features.relu0", 16, 64),
        ("features.denseblock1", 8, 256),
        ("features.denseblock2", 4, 512),
        ("features.denseblock3", 2, 1024),
    ]


def test_the_stages_of_vgg_end_with_the_last_relu_before_each_pooling() -> None:
    """They are lone layers; the first begins with what the first convolution gives."""
    net = nn.Sequential()
    net.features = make_layers(cfgs["D"], batch_norm=True)  # VGG-16, without its huge classifier
    assert outline(net) == [
        ("features.5", 32, 64),
        ("features.12", 16, 128),
        ("features.22", 8, 256),
        ("features.32", 4, 512),
        ("features.42", 2, 512),
    ]
    first = find_levels(net, EXAMPLE)[32, 32].first
    assert (first.name, first.reads, first.channels) == ("features.0", False, 64)


def test_maps_with_channels_last_are_not_taken_for_heights_and_widths() -> None:
    """ConvNeXt permutes its maps to (n, height, width, channels) and back."""
    torch.manual_seed(0)
    net = torchvision.models.convnext_tiny(num_classes=10)
    assert outline(net) == [("features.1", 8, 96), ("features.3", 4, 192), ("features.5", 2, 384)]


class Tenths(WeightQuantizer):
    """Rounds weights to tenths."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.round(decimals=1)


class Clipped(InputQuantizer):
    """Clips what a layer reads, in a module of its own that gives maps too."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(-1, 1)


def test_fake_quantizers_inside_the_layers_change_no_stage() -> None:
    for name in ("resnet20", "resnet18", "torchvision:mobilenet_v2"):
        plain = network(name)
        fake = copy.deepcopy(plain)
        for module in list(fake.modules()):
            if type(module) is nn.Conv2d:
                insert(module, Tenths(8), Clipped())
        assert find_levels(fake, EXAMPLE) == find_levels(plain, EXAMPLE)


class Shared(nn.Module):
    """One ReLU module serves every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 8, 3, 2, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.head(x.mean(dim=(2, 3)))


def test_a_module_that_is_called_at_several_sizes_ends_several_levels() -> None:
    assert outline(Shared()) == [("relu", 32, 4), ("relu", 16, 8)]


def test_a_network_without_convolutions_has_no_levels() -> None:
    assert find_levels(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), EXAMPLE) == {}


def test_looking_leaves_modes_statistics_and_hooks_as_they_were() -> None:
    net = network("resnet8").train()
    net.layer2.eval()
    modes = [module.training for module in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    find_levels(net, EXAMPLE)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_modes_come_back_even_after_an_error() -> None:
    net = network("resnet8").train()
    with pytest.raises(ZeroDivisionError), evaluating(net):
        assert not net.training
        raise ZeroDivisionError
    assert all(module.training for module in net.modules())
