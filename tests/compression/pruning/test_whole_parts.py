"""Networks of which some parts cannot be followed: those are left whole, the rest is cut."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.pruning.stage.surgery import (
    find_groups,
    remember_unprunable,
    remove_channels,
    unprunable_groups,
    unprunable_layers,
)
from slimtune.errors import PruningError

IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Base(nn.Module):
    """A convolution, something, another convolution, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.tail, self.fc = nn.Conv2d(16, 24, 3, padding=1), nn.Linear(24, 10)
        self.make()

    def make(self) -> None:
        pass

    def middle(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(torch.relu(self.norm(self.stem(x))))
        return self.fc(torch.relu(self.tail(x)).mean((2, 3)))


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.flip(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].flip(1)


class OwnFunction(Base):
    def middle(self, x: Tensor) -> Tensor:
        return Reversed.apply(x)


class Shuffle(Base):
    def middle(self, x: Tensor) -> Tensor:
        return nn.functional.channel_shuffle(x, 4)


class ShuffledBlocks(Base):
    """ShuffleNet v2: half of the channels pass, and all are shuffled by view and transpose."""

    def make(self) -> None:
        self.branches = nn.ModuleList(self.branch() for _ in range(3))

    def branch(self) -> nn.Module:
        deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        return nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), deep, nn.Conv2d(8, 8, 1))

    def middle(self, x: Tensor) -> Tensor:
        for branch in self.branches:
            passed, worked = x.chunk(2, dim=1)
            joined = torch.cat((passed, branch(worked)), 1)
            n, c, h, w = joined.shape
            x = joined.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return x


class JoinedBehindManySteps(Base):
    """Swin: torch-pruning gives up counting channels after 500 steps."""

    def make(self) -> None:
        self.wide = nn.Conv2d(16, 32, 1)
        self.narrow = nn.Conv2d(64, 16, 1)

    def middle(self, x: Tensor) -> Tensor:
        x = self.wide(x)
        for _ in range(520):
            x = x * 1.01
        return self.narrow(torch.cat((x, x), 1))


class PixelShuffle(Base):
    def make(self) -> None:
        self.up = nn.Conv2d(16, 64, 1)

    def middle(self, x: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.up(x), 2)


class Attention(Base):
    def make(self) -> None:
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def middle(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        tokens = self.qkv(x.flatten(2).transpose(1, 2)).reshape(n, h * w, 3, 4, 4)
        q, k, v = tokens.permute(2, 0, 3, 1, 4).unbind(0)
        seen = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.out(seen.reshape(n, h * w, 16)).transpose(1, 2).reshape(n, c, h, w)


class ZeroedInPlace(Base):
    def middle(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, ::2] = 0
        return x


class FixedSplit(Base):
    def make(self) -> None:
        self.part = nn.Conv2d(8, 8, 3, padding=1)

    def middle(self, x: Tensor) -> Tensor:
        first, second = torch.split(x, [8, 8], 1)
        return torch.cat([self.part(first), second], 1)


class Gate(Base):
    def make(self) -> None:
        self.wide = nn.Conv2d(16, 32, 1)

    def middle(self, x: Tensor) -> Tensor:
        first, second = self.wide(x).chunk(2, 1)
        return first * torch.sigmoid(second)


class Permuted(Base):
    def make(self) -> None:
        self.register_buffer("order", torch.arange(15, -1, -1))

    def middle(self, x: Tensor) -> Tensor:
        return x[:, self.order]


class CentredOverChannels(Base):
    def middle(self, x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)


class HeadOfTraining(Base):
    def make(self) -> None:
        self.aux = nn.Linear(16, 10)

    def middle(self, x: Tensor) -> Tensor:
        return x + 0 * self.aux(x.mean((2, 3))).sum() if self.training else x


class BehindAZeroScale(Base):
    """As a residual block begins: nothing of what is wrong before the norm shows."""

    def make(self) -> None:
        self.last = nn.BatchNorm2d(16)
        nn.init.zeros_(self.last.weight)

    def middle(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.channel_shuffle(x, 4))


@pytest.mark.parametrize(
    ("network", "cuts", "whole"),
    [
        (OwnFunction(), ["tail"], {"stem"}),
        (Shuffle(), ["tail"], {"stem"}),
        (
            ShuffledBlocks(),
            ["branches.0.0", "branches.1.0", "branches.2.0", "tail"],
            {"stem", "branches.0.3", "branches.1.3", "branches.2.3"},
        ),
        (JoinedBehindManySteps(), ["stem", "narrow", "tail"], {"wide"}),
        (PixelShuffle(), ["stem", "tail"], {"up"}),
        (Attention(), ["tail"], {"stem", "qkv", "out"}),
        (ZeroedInPlace(), ["tail"], {"stem"}),
        (FixedSplit(), ["part", "tail"], {"stem"}),
        (Gate(), ["stem", "tail"], {"wide"}),
        (Permuted(), ["tail"], {"stem"}),
        (CentredOverChannels(), ["tail"], {"stem"}),
        (HeadOfTraining(), ["tail"], {"stem"}),
        (BehindAZeroScale(), ["tail"], {"stem"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_parts_that_cannot_be_followed_are_left_whole_and_the_rest_is_cut(
    network: nn.Module, cuts: list[str], whole: set[str]
) -> None:
    network.eval()
    groups = {group.name: group for group in find_groups(network, IMAGE)}
    assert [name for name in groups if name in {*cuts, *whole}] == cuts
    assert unprunable_layers(network, IMAGE).keys() >= whole - groups.keys()
    removals = {name: list(range(1, groups[name].channels // 2)) for name in groups}
    assert remove_channels(network, IMAGE, removals) == removals
    for mode in (False, True):
        assert network.train(mode)(IMAGE).shape == (2, 10)


class OnlySomeIndices(Base):
    """Sound on trial, which removes other channels than the last alone."""

    def middle(self, x: Tensor) -> Tensor:
        if x.shape[1] == 15:
            return x.flip(1)
        return x


def test_a_removal_that_comes_out_wrong_is_taken_back_and_the_rest_is_carried_out() -> None:
    network = OnlySomeIndices().eval()
    find_groups(network, IMAGE)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    removed = remove_channels(network, IMAGE, {"stem": [15], "tail": [0, 1]})
    assert removed == {"stem": [], "tail": [0, 1]}
    assert torch.equal(network.stem.weight, before["stem.weight"])
    assert network.tail.weight.shape[0] == 22
    with pytest.raises(PruningError, match="no group of channels is called 'stem'"):
        remove_channels(network, IMAGE, {"stem": [15]})


def test_where_nothing_can_be_removed_the_network_stays_as_it_was() -> None:
    network = OnlySomeIndices().eval()
    before, logits = dict(network.state_dict()), network(IMAGE)
    with pytest.raises(PruningError, match="none of the requested channels can be removed"):
        remove_channels(network, IMAGE, {"stem": [15]})
    assert network.state_dict().keys() == before.keys()
    assert torch.equal(network(IMAGE), logits)


class KeepsResults(Base):
    """As LeViT keeps its attention biases between two passes of evaluation."""

    def make(self) -> None:
        self.bias = nn.Parameter(torch.rand(8, 8))
        self.kept: dict[str, Tensor] = {}
        self.last = torch.zeros(())

    def middle(self, x: Tensor) -> Tensor:
        if "bias" not in self.kept:
            self.kept["bias"] = self.bias.exp()
        self.last = self.kept["bias"].sum()
        return x + self.kept["bias"]


def test_a_network_that_keeps_results_of_a_pass_can_still_be_copied_and_cut() -> None:
    network = KeepsResults().eval()
    assert "tail" in [group.name for group in find_groups(network, IMAGE)]
    assert remove_channels(network, IMAGE, {"tail": [0, 1]}) == {"tail": [0, 1]}
    assert copy.deepcopy(network)(IMAGE).shape == (2, 10)


@pytest.mark.parametrize(
    ("network", "operation"),
    [(ShuffledBlocks(), "reshape"), (JoinedBehindManySteps(), "concatenation")],
)
def test_an_operation_at_which_the_graph_fails_is_named(
    network: nn.Module, operation: str
) -> None:
    reasons = unprunable_layers(network.eval(), IMAGE).values()
    assert f"goes through a {operation} that cannot be followed" in reasons


def test_copies_remember_what_was_tried() -> None:
    network = Shuffle().eval()
    first = find_groups(network, IMAGE)
    other = Base().eval()
    remember_unprunable(other, unprunable_groups(copy.deepcopy(network)))
    assert [g.name for g in find_groups(other, IMAGE)] == [g.name for g in first] == ["tail"]
