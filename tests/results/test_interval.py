import pytest
from scipy.stats import binomtest

from slimtune.results.interval import wilson


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (5, 10), (10, 10), (349, 378), (0, 540)])
def test_the_interval_is_scipys(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_it_stays_within_0_and_1_and_has_a_width_at_the_ends() -> None:
    low, high = wilson(1.0, 20)
    assert 0.8 < low < 1.0 and high == 1.0
    low, high = wilson(0.0, 20)
    assert low == 0.0 and 0.0 < high < 0.2
