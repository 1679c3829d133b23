import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slimtune.compression.quantization.rounding.fit import (
    SMALLEST_SCALE,
    fit_max,
    fit_scale,
    largest_integer,
    round_to_grid,
)

weights = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-1e6, 1e6, width=32),
)


@settings(max_examples=60)
@given(weights, st.integers(2, 8))
def test_the_error_is_at_most_half_a_step(weight: np.ndarray, bits: int) -> None:
    stored = fit_max(torch.from_numpy(weight), bits)
    scale = stored.scale.astype(np.float64).reshape(-1, *[1] * (weight.ndim - 1))
    error = np.abs(scale * stored.integers - weight)
    assert (error <= scale * (0.5 + 1e-4)).all()


@settings(max_examples=60)
@given(weights, st.integers(2, 8))
def test_integers_are_symmetric_and_scales_are_normal_numbers(
    weight: np.ndarray, bits: int
) -> None:
    stored = fit_max(torch.from_numpy(weight), bits)
    assert stored.integers.dtype == np.int8 and stored.integers.shape == weight.shape
    assert np.abs(stored.integers.astype(int)).max() <= 2 ** (bits - 1) - 1
    assert stored.scale.dtype == np.float32 and (stored.scale >= SMALLEST_SCALE).all()


def test_the_largest_weight_of_a_channel_becomes_127() -> None:
    stored = fit_max(torch.tensor([[0.5, -1.0], [4.0, 1.0]]), 8)
    assert stored.integers.tolist() == [[64, -127], [127, 32]]  # 63.5 and 31.75
    assert stored.scale == pytest.approx([1 / 127, 4 / 127], rel=1e-6)


def test_ties_round_to_even() -> None:
    stored = fit_max(torch.tensor([[127.0, 0.5, 1.5, -2.5]]), 8)  # the scale is 1
    assert stored.integers.tolist() == [[127, 0, 2, -2]]


def test_a_channel_of_zeros_stays_zero() -> None:
    stored = fit_max(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), 8)
    assert stored.integers[0].tolist() == [0, 0] and stored.scale[0] > 0


def test_a_tensor_that_is_not_contiguous_is_read_rightly() -> None:
    weight = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    assert np.array_equal(fit_max(weight, 8).integers, fit_max(weight.contiguous(), 8).integers)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_one_scale_a_tensor_comes_from_the_mean_of_the_filters_maxima(bits: int) -> None:
    weight = torch.tensor([[0.5, -1.0], [4.0, 1.0], [0.0, 1.0]])  # maxima 1, 4, 1: mean 2
    scale = fit_scale(weight, bits, "tensor", 1.5)
    assert scale == pytest.approx([3 / (2 ** (bits - 1) - 1)] * 3)
    stored = round_to_grid(weight, scale, bits)
    assert stored.integers[1, 0] == 2 ** (bits - 1) - 1  # 4 lies beyond the grid: clipped


def test_each_channel_has_a_grid_of_its_own_that_reaches_factor_times_its_maximum() -> None:
    weight = torch.tensor([[0.5, -1.0], [4.0, 1.0]])
    assert fit_scale(weight, 3, "channel", 0.9) == pytest.approx([0.3, 1.2])


@pytest.mark.parametrize(("bits", "largest"), [(2, 1), (3, 3), (4, 7), (8, 127)])
def test_the_grid_has_one_level_less_than_the_bits_hold(bits: int, largest: int) -> None:
    assert largest_integer(bits) == largest
