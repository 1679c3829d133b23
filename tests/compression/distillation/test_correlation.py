import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimtune.compression.distillation.correlation import unit_rows

torch.manual_seed(0)
FIRST, SECOND = torch.randn(5, 7), torch.randn(5, 7)


def test_the_product_of_two_rows_is_pearsons_correlation() -> None:
    ours = (unit_rows(FIRST) * unit_rows(SECOND)).sum(dim=1)
    pairs = zip(FIRST.numpy(), SECOND.numpy(), strict=True)
    expected = [scipy.stats.pearsonr(a, b).statistic for a, b in pairs]
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-6)


def test_a_row_times_the_root_of_the_columns_less_one_is_its_z_score() -> None:
    expected = scipy.stats.zscore(FIRST.numpy(), axis=1, ddof=1)
    np.testing.assert_allclose(unit_rows(FIRST).numpy() * 6**0.5, expected, atol=1e-6)


@given(st.floats(1e-4, 1e4), st.floats(-10, 10))
def test_scale_and_shift_change_nothing(scale: float, shift: float) -> None:
    torch.testing.assert_close(
        unit_rows(scale * (FIRST + shift)), unit_rows(FIRST), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 1e-20, 1e10])
def test_a_constant_row_becomes_zeros_without_a_gradient(constant: float) -> None:
    values = torch.stack([torch.full((7,), constant), torch.arange(7.0)]).requires_grad_()
    result = unit_rows(values)
    (result * torch.arange(7.0)).sum().backward()
    assert torch.equal(result[0], torch.zeros(7)) and result[1].abs().sum() > 0
    assert torch.isfinite(values.grad).all() and torch.equal(values.grad[0], torch.zeros(7))
