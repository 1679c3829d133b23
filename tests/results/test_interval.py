import math

import numpy as np
import pytest
from scipy.stats import binomtest

from slimtune.results.interval import Z95, balanced_error, standard_error, trusted_error, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (5, 10), (10, 10), (349, 378), (0, 540)])
def test_the_interval_is_scipys(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_it_stays_within_0_and_1_and_has_a_width_at_the_ends() -> None:
    low, high = wilson(1.0, 20)
    assert 0.8 < low < 1.0 and high == 1.0
    low, high = wilson(0.0, 20)
    assert low == 0.0 and 0.0 < high < 0.2


def test_the_standard_error_is_that_of_simulated_accuracies() -> None:
    rights = np.random.default_rng(0).binomial(400, 0.9, size=20_000) / 400
    assert standard_error(0.9, 400) == pytest.approx(rights.std(), rel=0.02)
    assert math.isclose(standard_error(0.5, 100), 0.05)


@pytest.mark.parametrize("n", [1, 10, 378, 10_000])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_are_right_or_none_the_error_is_scipys_interval(share: float, n: int) -> None:
    interval = binomtest(round(share * n), n).proportion_ci(method="wilson")
    expected = (interval.high - interval.low) / (2 * Z95)
    assert standard_error(share, n) == pytest.approx(expected)
    assert 0.2 / n < standard_error(share, n) <= 1 / n


def test_the_error_of_balanced_accuracy_is_that_of_many_draws() -> None:
    generator = np.random.default_rng(0)
    shares = (generator.binomial(40, 0.9, 2000) / 40, generator.binomial(10, 0.6, 2000) / 10)
    errors = [balanced_error([(a, 40), (b, 10)]) for a, b in zip(*shares, strict=True)]
    assert np.mean(errors) == pytest.approx(np.std(np.mean(shares, axis=0)), rel=0.1)
    assert balanced_error([(1.0, 40), (1.0, 10)]) > 0


def test_an_error_of_0_that_was_recorded_is_not_trusted() -> None:
    assert trusted_error(0.02, 0.9, 400) == 0.02
    for recorded in (0.0, None, math.nan, "0.1", [1], True):
        assert trusted_error(recorded, 1.0, 400) == standard_error(1.0, 400)
    for images in (0, None, "400", -3, math.nan):
        assert math.isnan(trusted_error(0.0, 1.0, images))
    assert math.isnan(trusted_error(None, None, 400))
