"""N:M patterns."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.ao.pruning import WeightNormSparsifier

from slimtune.compression.pruning import NM
from slimtune.compression.recipe import Recipe
from slimtune.errors import ConfigError, PruningError

TWO_OF_FOUR = NM()
FIRST = {"first.weight": torch.ones(4, 4)}


def mask_of(weight: torch.Tensor, method: NM = TWO_OF_FOUR) -> torch.Tensor:
    return method.masks({**FIRST, "w": weight}, 0.5, "local")["w"]


def test_the_two_largest_of_four_stay_oracle_11() -> None:
    weight = torch.tensor([[4.0, -1.0, 3.0, 2.0]])
    assert (weight * mask_of(weight)).tolist() == [[4.0, 0.0, 3.0, 0.0]]


def test_every_block_along_the_input_channels_of_a_convolution_is_half_empty_oracle_11() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 16, 3, 3)
    left = (weight * mask_of(weight)).permute(0, 2, 3, 1).reshape(-1, 4)
    assert ((left == 0).sum(dim=1) == 2).all()
    blocks = weight.permute(0, 2, 3, 1).reshape(-1, 4)
    assert torch.equal(left.abs().sum(dim=1), blocks.abs().topk(2, dim=1).values.sum(dim=1))


def test_a_linear_layer_gets_the_mask_of_torch() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 12))
    expected = mask_of(net[0].weight.detach().clone())
    sparsifier = WeightNormSparsifier(
        sparsity_level=1.0, sparse_block_shape=(1, 4), zeros_per_block=2, norm=1
    )
    sparsifier.prepare(net, [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    sparsifier.squash_mask()
    assert torch.equal(net[0].weight != 0, expected)


def test_equal_weights_go_by_index_the_lower_first() -> None:
    assert mask_of(torch.ones(1, 4)).tolist() == [[False, False, True, True]]


def test_the_first_layer_and_layers_that_do_not_fit_are_left_alone() -> None:
    weights = {
        "first": torch.randn(8, 4, 3, 3),
        "depthwise": torch.randn(8, 1, 3, 3),
        "odd": torch.randn(6, 10),
        "fits": torch.randn(6, 8),
    }
    masks = NM().masks(weights, 0.5, "global")
    assert [name for name, mask in masks.items() if not mask.all()] == ["fits"]


def test_a_network_that_the_pattern_fits_nowhere_is_refused() -> None:
    weights = {"first": torch.randn(8, 4, 3, 3), "depthwise": torch.randn(8, 1, 3, 3)}
    with pytest.raises(PruningError, match=r"no layer .* multiple of m = 4 .*; choose another m"):
        NM().masks(weights, 0.5, "local")


def test_keeping_all_of_a_block_is_refused_in_one_line() -> None:
    with pytest.raises(ValidationError):
        NM(n=4, m=4)
    with pytest.raises(ConfigError, match=r"^prune: n_m: n must be below m, but got 4 of 4; low"):
        Recipe.from_dict({"prune": {"method": "n_m", "n": 4}})


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**31 - 1))
def test_exactly_n_of_m_stay_and_a_second_time_nothing_more_goes(
    n: int, more: int, seed: int
) -> None:
    m = n + more
    weight = torch.randn(3, 2 * m, 2, 2, generator=torch.Generator().manual_seed(seed))
    mask = mask_of(weight, NM(n=n, m=m))
    assert (mask.movedim(1, -1).reshape(-1, m).sum(dim=1) == n).all()
    assert torch.equal(mask_of(weight * mask, NM(n=n, m=m)), mask)
