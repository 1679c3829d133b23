"""Structured LAMP against the worked example and the formula."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from slimtune.compression.pruning import LAMP
from slimtune.compression.pruning.lamp import lamp_shares
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.stage.ranking import choose


def scores(filters: Tensor) -> Tensor:
    layer = nn.Linear(filters.shape[1], filters.shape[0])
    layer.weight.data = filters
    return LAMP().scores(ChannelGroup("l", (("l", layer),), (), (), len(filters)))


def test_weights_1_2_3_score_1_14th_4_13ths_and_1() -> None:
    """Oracle 9."""
    got = scores(torch.tensor([[1.0], [2], [3]]))
    torch.testing.assert_close(got, torch.tensor([1 / 14, 4 / 13, 1]))


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 10_000), st.floats(0.01, 100))
def test_shares_follow_the_formula_whatever_the_scale_and_order(
    count: int, seed: int, scale: float
) -> None:
    torch.manual_seed(seed)
    filters = torch.randn(count, 3)
    norms = filters.double().square().sum(1)
    expected = [float(n / norms[norms >= n].sum()) for n in norms]
    torch.testing.assert_close(scores(filters * scale), torch.tensor(expected))
    order = torch.randperm(count)
    torch.testing.assert_close(scores(filters[order]), torch.tensor(expected)[order])


def test_the_global_scope_empties_no_layer_however_weak_it_is() -> None:
    """Oracle 9: the strongest channel of every layer scores 1."""
    torch.manual_seed(0)
    weak, strong = scores(torch.randn(16, 9) * 1e-4), scores(torch.randn(16, 9))
    assert weak.max() == strong.max() == 1
    gone = choose({"weak": weak, "strong": strong}, 0.9, "global", 1, comparable=True)
    assert sum(map(len, gone.values())) == 29  # of 32; 3 stay
    assert all(len(indices) < 16 for indices in gone.values())


def test_equal_channels_are_put_in_order_and_dead_ones_score_zero() -> None:
    torch.testing.assert_close(lamp_shares(torch.ones(3)), torch.tensor([1 / 3, 1 / 2, 1]))
    assert lamp_shares(torch.tensor([0.0, 2, 0])).tolist() == [0, 1, 0]
    assert lamp_shares(torch.zeros(2)).tolist() == [0, 0]
