"""Exact binomial tests on counts of right answers."""

import math


def binomial_tail(k: int, n: int, p: float) -> float:
    """Return the probability of ``k`` or more successes among ``n`` independent tries, 0..1.

    ``sum of C(n, i) p^i (1 - p)^(n - i)`` over i = k..n, in logarithms because n may be large.

    Args:
        k: successes, 0..n.
        n: tries, 0 or more.
        p: probability of one success, 0..1.
    """
    if k <= 0:
        return 1.0
    if p <= 0 or p >= 1:
        return float(p >= 1)
    whole = math.lgamma(n + 1)
    logs = [
        whole
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(p)
        + (n - i) * math.log1p(-p)
        for i in range(k, n + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))


def chance_of_winning(only_first: int, only_second: int) -> float:
    """Return the probability that the first wins by this much if both are equally good, 0..1.

    It is McNemar's exact one-sided test: an image that only one of the two has right is the
    first's with probability 1/2.

    Args:
        only_first: images that only the first has right.
        only_second: images that only the second has right.
    """
    return binomial_tail(only_first, only_first + only_second, 0.5)
