"""How far a share that was measured on n images may lie from the true one."""

import math

Z95 = 1.959963984540054
"""Of the standard normal distribution, 95 % lies within so many deviations of 0."""


def wilson(share: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Return Wilson's score interval of a binomial proportion (Wilson 1927).

    Unlike ``share ± z * standard error`` it stays in 0..1 and has a width where every image, or
    none, was right. With ``c = z^2 / n`` it is
    ``(p + c/2 ± z sqrt(p (1 - p) / n + c / (4 n))) / (1 + c)``.

    Args:
        share: measured, 0..1.
        n: images it was measured on, at least 1.
        z: half the width in standard deviations; 95 % if not given.

    Returns:
        (low, high), in 0..1.
    """
    c = z * z / n
    middle = share + c / 2
    half = z * math.sqrt(share * (1 - share) / n + c / (4 * n))
    return max(0.0, (middle - half) / (1 + c)), min(1.0, (middle + half) / (1 + c))
