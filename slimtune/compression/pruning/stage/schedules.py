"""The amount that is removed at each point of a schedule."""

import math


def linear_targets(amount: float, steps: int) -> list[float]:
    """Return the cumulative amount after each step: ``amount * i / steps``, i = 1..steps.

    The last is exactly ``amount``.

    Args:
        amount: fraction removed at the end, in [0, 1).
        steps: at least 1.
    """
    return [amount * (step / steps) for step in range(1, steps + 1)]


def cubic(amount: float, share: float) -> float:
    """Return the cumulative amount of automated gradual pruning: ``amount * (1 - (1 - t)^3)``.

    Much goes early, while the network still has what replaces it, and little at the end. Zhu,
    Gupta, "To prune, or not to prune", 2017, arXiv:1710.01878, equation 1 from sparsity 0.

    Args:
        amount: fraction removed at the end, in [0, 1).
        share: t, the share of the schedule that is over; from 1 on everything is removed.
    """
    return amount * (1 - (1 - min(share, 1.0)) ** 3)


def ramp_epochs(epochs: int) -> int:
    """Return the epoch, from 1, at whose end the soft schedule reaches its full amount.

    Half of the epochs, rounded down: the learning rate falls, and what goes late has no time to
    recover. Always before the last epoch, unless that is the only one.

    Args:
        epochs: of the whole fine-tune, at least 1.
    """
    return max(1, epochs // 2)


def gone_after(rate: float, epochs: int) -> float:
    """Return the amount that is gone after so many epochs: ``1 - (1 - rate)^epochs``.

    Below 1 however many there are, for an amount is never all.

    Args:
        rate: fraction of what is left that goes in one epoch, in (0, 1).
        epochs: at least 0.
    """
    return min(1 - (1 - rate) ** epochs, math.nextafter(1.0, 0.0))


def rate_for(amount: float, epochs: int) -> float:
    """Return the rate by which ``amount`` is gone after ``epochs``, at least 1: `gone_after`."""
    return 1 - math.pow(1 - amount, 1 / epochs)
