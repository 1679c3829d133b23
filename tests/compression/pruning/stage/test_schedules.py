"""Amounts along a schedule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.compression.pruning.stage.schedules import (
    cubic,
    gone_after,
    linear_targets,
    ramp_epochs,
    rate_for,
)

AMOUNTS = st.floats(0, 0.99)


def test_the_linear_schedule_goes_in_equal_steps() -> None:
    assert linear_targets(0.6, 3) == pytest.approx([0.2, 0.4, 0.6])


@given(AMOUNTS, st.integers(1, 20))
def test_the_linear_schedule_ends_exactly_at_the_amount_and_never_falls(
    amount: float, steps: int
) -> None:
    targets = linear_targets(amount, steps)
    assert len(targets) == steps and targets[-1] == amount and targets == sorted(targets)


def test_half_way_the_cubic_ramp_to_80_percent_is_at_70_oracle_11() -> None:
    assert cubic(0.8, 0.5) == pytest.approx(0.70)


@given(AMOUNTS, st.floats(0, 1), st.floats(0, 1))
def test_the_cubic_ramp_never_falls_and_ends_exactly_at_the_amount(
    amount: float, first: float, second: float
) -> None:
    low, high = sorted((first, second))
    assert 0 <= cubic(amount, low) <= cubic(amount, high) <= amount
    assert cubic(amount, 0) == 0 and cubic(amount, 1) == cubic(amount, 1.5) == amount


@given(st.integers(1, 1000))
def test_what_is_decided_has_time_to_recover(epochs: int) -> None:
    full = ramp_epochs(epochs)
    assert 1 <= full <= max(1, epochs - 1)
    assert full == 1 or epochs - full >= epochs / 2 >= full


def test_five_percent_of_the_rest_each_epoch_leaves_95_percent_to_the_power() -> None:
    assert gone_after(0.05, 0) == 0 and gone_after(0.05, 1) == pytest.approx(0.05)
    assert gone_after(0.05, 20) == pytest.approx(1 - 0.358486)
    assert gone_after(0.5, 1000) < 1  # as an amount must be


@given(st.floats(0.01, 0.9), st.integers(1, 100))
def test_the_rate_for_an_amount_removes_that_amount(amount: float, epochs: int) -> None:
    assert gone_after(rate_for(amount, epochs), epochs) == pytest.approx(amount)
