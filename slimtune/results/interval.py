"""Error bars of a share that was measured on n images."""

import math
from collections.abc import Sequence

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
    # The limits are the two p at which the measured share is z deviations away: a quadratic.
    c = z * z / n
    middle = share + c / 2
    half = z * math.sqrt(share * (1 - share) / n + c / (4 * n))
    return max(0.0, (middle - half) / (1 + c)), min(1.0, (middle + half) / (1 + c))


def standard_error(share: float, n: int) -> float:
    """Return the standard error of a share in 0..1 that was measured on ``n`` images.

    ``sqrt(p (1 - p) / n)``, of a binomial proportion. Where every image was right, or none, that
    is 0, though other images would not all be: then it is half the width of Wilson's 95 % interval
    in standard deviations, which is nearly the error of all images but one (1 / n).
    """
    if 0 < share < 1:
        return math.sqrt(share * (1 - share) / n)
    low, high = wilson(share, n)
    return (high - low) / (2 * Z95)


def balanced_error(shares: Sequence[tuple[float, int]]) -> float:
    """Return the standard error of a mean over classes: ``sqrt(sum of se_k^2) / K``.

    Args:
        shares: (share in 0..1, number of images, at least 1) of each of the K classes.
    """
    return math.hypot(*(standard_error(share, n) for share, n in shares)) / len(shares)


def trusted_error(recorded: object, share: object, images: object) -> float:
    """Return a standard error for display: as recorded, unless that is missing or 0.

    Args:
        recorded: by a slimtune that had 0 where every image was right, perhaps.
        share: that it is of.
        images: that it was measured on.

    Returns:
        NaN where it is not recorded, or 0, and the other two do not tell it.
    """
    if _is_number(recorded) and recorded > 0:  # type: ignore[operator]
        return float(recorded)  # type: ignore[arg-type]
    if _is_number(share) and _is_number(images) and images >= 1:  # type: ignore[operator]
        return standard_error(min(1.0, max(0.0, float(share))), int(images))  # type: ignore
    return math.nan


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
