"""DepGraph's group norm against torch-pruning, and its sparse learning against the formula."""

from collections.abc import Callable

import pytest
import torch
import torch_pruning as tp
import torchvision
from torch import Tensor, nn

from slimtune.compression.pruning import GroupNorm
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.stage.surgery import find_groups
from slimtune.workload.zoo.cifar_resnet import CifarResNet

EXAMPLE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Flat(nn.Module):
    """A convolution flattened with its positions into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.pool, self.head = nn.AdaptiveAvgPool2d(2), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.norm(self.conv(x)).relu()).flatten(1))


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(8, (2, 2), 16, num_classes=10)


def projected() -> nn.Module:
    return CifarResNet(10, 3, depth=8, projection=True)


def mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25)


def small(gamma: list[float]) -> ChannelGroup:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, len(gamma), 3), nn.BatchNorm2d(len(gamma))
    norm.weight.data = torch.tensor(gamma)
    after = nn.Conv2d(len(gamma), 2, 1)
    for parameter in (conv.weight, norm.weight, after.weight):
        parameter.grad = torch.zeros_like(parameter)
    return ChannelGroup("c", (("c", conv),), (("bn", norm),), (("after", after),), len(gamma))


@pytest.mark.parametrize("build", [projected, mobilenet, densenet, Flat])
def test_the_score_is_torch_prunings_mean_over_the_members(
    build: Callable[[], nn.Module],
) -> None:
    """Oracle 8, on basic, depthwise, concatenated and flattened channels."""
    torch.manual_seed(0)
    model = build().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    graph = tp.DependencyGraph().build_dependency(model, EXAMPLE)
    importance = tp.importance.GroupMagnitudeImportance(p=2, normalizer=None)
    groups = find_groups(model, EXAMPLE)
    assert groups
    for group in groups:
        root = group.producers[0][1]
        cut = graph.get_pruner_of_module(root).prune_out_channels
        expected = importance(graph.get_pruning_group(root, cut, list(range(group.channels))))
        torch.testing.assert_close(GroupNorm().scores(group), expected)


def test_the_score_is_the_mean_over_filter_scale_and_reader() -> None:
    """Oracle 8."""
    group = small([1.0, -2.0])
    conv, after = group.producers[0][1].weight, group.consumers[0][1].weight
    sums = conv.square().sum((1, 2, 3)) + torch.tensor([1.0, 4.0]) + after.square().sum((0, 2, 3))
    torch.testing.assert_close(GroupNorm().scores(group), (sums / 3).detach())


def test_sparse_learning_adds_16_to_the_relative_weakness_times_the_weight() -> None:
    """Oracle 8."""
    group = small([1.0, 2.0, 3.0, 5.0])
    importance = GroupNorm().scores(group)
    GroupNorm(sparsity=0.1).regularize([group])
    weakness = (importance.max() - importance) / (importance.max() - importance.min())
    factor = 0.1 * 16**weakness
    assert torch.isclose(factor.max(), torch.tensor(1.6))
    conv, norm, after = (
        layer.weight for _, layer in (*group.producers, *group.norms, *group.consumers)
    )
    torch.testing.assert_close(conv.grad, conv.detach() * factor.view(-1, 1, 1, 1))
    torch.testing.assert_close(norm.grad, norm.detach() * factor)
    torch.testing.assert_close(after.grad, after.detach() * factor.view(1, -1, 1, 1))


@pytest.mark.parametrize("channels", [1, 4])
def test_equal_channels_are_all_regularised_with_factor_1(channels: int) -> None:
    """Oracle 8: torch-pruning divides 0 by 0 here."""
    group = small([1.0] * channels)
    conv, norm, after = (layer for _, layer in (*group.producers, *group.norms, *group.consumers))
    nn.init.ones_(conv.weight)
    nn.init.ones_(after.weight)
    GroupNorm(sparsity=0.1).regularize([group])
    torch.testing.assert_close(norm.weight.grad, torch.full((channels,), 0.1))
    assert torch.isfinite(conv.weight.grad).all()


def test_norms_without_scales_and_frozen_weights_are_left_out() -> None:
    group = small([1.0, 2.0])
    conv = group.producers[0][1]
    conv.weight.grad = None
    plain = nn.BatchNorm2d(2, affine=False)
    group = ChannelGroup("c", group.producers, (("bn", plain),), group.consumers, 2)
    GroupNorm().regularize([group])
    assert conv.weight.grad is None
    assert torch.isfinite(GroupNorm().scores(group)).all()


def test_sparse_learning_shrinks_the_weak_half_against_the_strong_half() -> None:
    """Oracle 8: section 2.4's property of the group norms after sparse learning."""
    torch.manual_seed(0)
    model = Flat()
    groups = find_groups(model, EXAMPLE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def ratio() -> float:
        ascending = GroupNorm().scores(groups[0]).sort().values
        return float(ascending[:2].sum() / ascending[2:].sum())

    before = ratio()
    for _ in range(20):
        optimizer.zero_grad()
        (model(EXAMPLE).sum() * 0).backward()
        GroupNorm(sparsity=0.02).regularize(groups)
        optimizer.step()
    assert ratio() < before
