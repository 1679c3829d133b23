from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from slimtune.measurement.significance import binomial_tail, chance_of_winning


@given(n=st.integers(0, 400), share=st.floats(0, 1), p=st.floats(0.001, 0.999))
def test_the_tail_is_the_exact_sum(n: int, share: float, p: float) -> None:
    k, (win, whole) = round(share * n), p.as_integer_ratio()
    # In integers: scipy loses digits in tails below 1e-100.
    tail = sum(comb(n, i) * win**i * (whole - win) ** (n - i) for i in range(k, n + 1))
    expected = float(Fraction(tail, whole**n))
    assert binomial_tail(k, n, p) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_what_is_certain_needs_no_arithmetic() -> None:
    assert (
        binomial_tail(0, 10, 0.3) == 1
        and binomial_tail(1, 10, 0.0) == 0
        and binomial_tail(10, 10, 1.0) == 1
    )
    assert binomial_tail(0, 0, 0.5) == 1


def test_mcnemar_counts_only_where_two_differ() -> None:
    assert chance_of_winning(10, 0) == pytest.approx(2**-10)
    assert chance_of_winning(0, 0) == 1
    assert chance_of_winning(5, 5) == pytest.approx(binomtest(5, 10, alternative="greater").pvalue)
