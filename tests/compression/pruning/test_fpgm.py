"""FPGM against the paper's formula, worked by hand, and PyTorch's own implementation."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.ao.pruning._experimental.pruner.FPGM_pruner import FPGMPruner

from slimtune.compression.pruning import FPGM
from slimtune.compression.pruning.protocol import ChannelGroup


def scores(filters: Tensor) -> Tensor:
    layer = nn.Linear(filters.shape[1], filters.shape[0])
    layer.weight.data = filters
    return FPGM().scores(ChannelGroup("layer", (("layer", layer),), (), (), filters.shape[0]))


@st.composite
def filter_banks(draw: st.DrawFn) -> Tensor:
    rows, columns = draw(st.integers(2, 8)), draw(st.integers(1, 6))
    torch.manual_seed(draw(st.integers(0, 10_000)))
    return torch.randn(rows, columns)


def test_the_filter_nearest_to_all_others_scores_lowest() -> None:
    filters = torch.tensor([[0.0, 0], [1, 0], [0, 1], [5, 5]])
    a, b, c = math.sqrt(2), math.sqrt(50), math.sqrt(41)
    expected = torch.tensor([2 + b, 1 + a + c, 1 + a + c, b + 2 * c])
    torch.testing.assert_close(scores(filters), expected)
    assert int(scores(filters).argmin()) == 1
    assert int(filters.abs().sum(1).argmin()) == 0  # where L1 would begin


def test_a_tiny_filter_far_from_the_others_scores_highest() -> None:
    filters = torch.tensor([[2.0, 0], [2.2, 0], [1.8, 0], [0.1, 0]])
    torch.testing.assert_close(scores(filters), torch.tensor([2.3, 2.7, 2.3, 5.7]))


def test_it_agrees_with_pytorchs_own_fpgm() -> None:
    torch.manual_seed(0)
    weight = torch.randn(12, 4, 3, 3)
    conv = nn.Conv2d(4, 12, 3)
    conv.weight.data = weight
    got = FPGM().scores(ChannelGroup("c", (("c", conv),), (), (), 12))
    torch.testing.assert_close(got, FPGMPruner()._compute_distance(weight))


def test_negating_one_filter_changes_the_scores() -> None:
    filters = torch.tensor([[1.0, 0], [1.1, 0], [0.9, 0]])
    negated = filters * torch.tensor([[1.0], [1], [-1]])
    assert int(scores(filters).argmin()) == 0
    assert int(scores(negated).argmax()) == 2
    assert not torch.allclose(scores(filters), scores(negated))


def test_the_distances_of_near_equal_filters_are_not_lost_in_rounding() -> None:
    torch.manual_seed(0)
    filters = 10 + 0.01 * torch.randn(30, 64)  # above 25 rows torch may use a matrix product
    exact = (filters[:, None].double() - filters.double()).norm(dim=2).sum(1)
    torch.testing.assert_close(scores(filters).double(), exact, rtol=1e-5, atol=0)
    by_product = torch.cdist(filters, filters).sum(1)
    assert ((by_product - exact).abs() / exact).max() > 1e-3


@settings(max_examples=30)
@given(filter_banks(), st.floats(0.1, 10), st.integers(0, 1000))
def test_it_ignores_translation_and_rotation_and_follows_permutation_and_scale(
    filters: Tensor, scale: float, seed: int
) -> None:
    torch.manual_seed(seed)
    rows, columns = filters.shape
    base, order = scores(filters), torch.randperm(rows)
    rotation = torch.linalg.qr(torch.randn(columns, columns)).Q
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(scores(filters + torch.randn(columns)), base, **close)
    torch.testing.assert_close(scores(filters @ rotation), base, **close)
    torch.testing.assert_close(scores(filters[order]), base[order], **close)
    torch.testing.assert_close(scores(filters * scale), base * scale, rtol=1e-4, atol=1e-3)


@settings(max_examples=20)
@given(filter_banks())
def test_a_duplicate_scores_the_same_as_its_original(filters: Tensor) -> None:
    got = scores(torch.cat([filters, filters[:1]]))
    torch.testing.assert_close(got[0], got[-1])
