"""The levels of additive powers of two."""

import itertools
import math


def apot_levels(bits: int) -> tuple[int, ...]:
    """Return the 2^bits levels from 0 up, as integers; divided by the last they end at 1.

    A level is a sum of terms: one for each two bits, which is 0 or one of three powers of two,
    and for an odd bit one that is 0 or a power. The exponents 1, 2, 3... are dealt to the
    two-bit terms in turn, twice; the next one goes to the one-bit term; then each two-bit term
    gets its third. Li, Dong, Wang, ICLR 2020, arXiv:1909.13144, equation 5; the rule for odd
    bits is that of their code, which goes up to 6 bits; 7 and 8 are the same rule continued.

    Args:
        bits: 2..8.
    """
    pairs, odd = divmod(bits, 2)
    exponents = iter(range(1, 3 * pairs + odd + 1))
    terms: list[list[int]] = [[] for _ in range(pairs)]
    for term in (*terms, *terms):
        term.append(next(exponents))
    single = [[next(exponents)]] if odd else []
    for term in terms:
        term.append(next(exponents))
    least = 3 * pairs + odd
    choices = [[0, *(2 ** (least - e) for e in term)] for term in (*terms, *single)]
    sums = sorted(sum(chosen) for chosen in itertools.product(*choices))
    divisor = math.gcd(*sums)
    return tuple(level // divisor for level in sums)
