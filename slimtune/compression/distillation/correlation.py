"""Centred rows of length 1, from which correlations and z-scores are computed."""

import torch
from torch import Tensor

_CONSTANT = 1e-6
"""A row that varies by less than this share of its length varies by rounding alone."""


def unit_rows(values: Tensor) -> Tensor:
    """Return each row minus its mean, divided by its length.

    The product of two such rows is Pearson's correlation; ``sqrt(columns - 1)`` times a row is
    its z-score. A constant row has neither: it becomes zeros and gets no gradient.

    Args:
        values: (rows, columns).
    """
    centred = values - values.mean(dim=1, keepdim=True)
    square = centred.square().sum(dim=1, keepdim=True)
    varies = square > _CONSTANT**2 * values.square().sum(dim=1, keepdim=True)
    # The root of zero has an infinite gradient, also where its result is not used.
    length = torch.where(varies, square, 1.0).sqrt()
    return torch.where(varies, centred / length, 0.0)
