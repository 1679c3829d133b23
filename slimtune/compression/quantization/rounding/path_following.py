"""The greedy choice of integers that keeps a layer's output close to the float one."""

import torch
from torch import Tensor

_BLOCK = 64
"""Columns between two products with all that was chosen before: matrices, not vectors."""


def follow_path(
    weight: Tensor, cross: Tensor, gram: Tensor, scale: Tensor, largest: int
) -> Tensor:
    """Return the integers of GPFQ, in the covariance form.

    With X the inputs that the float layer sees and X~ those of the layer whose predecessors are
    quantized, column t becomes

        q_t = s * clip(round(a_t / s), -K, K)
        a_t = (sum_{j<=t} w_j G_tj - sum_{j<t} q_j H_tj) / H_tt

    with ``G = X~^T X`` and ``H = X~^T X~``: the q_t that brings ``sum_j (w_j X_j - q_j X~_j)``,
    j <= t, nearest to 0. Equal to streaming over the rows of X (Zhang, Zhou, Saab,
    arXiv:2201.11113, section 3), but the memory does not grow with their number. Ties go to even.
    A column that X~ never uses, and a weight of exactly 0, gets 0.

    Args:
        weight: float64, (groups, out/groups, d).
        cross: G, float64, (groups, d, d).
        gram: H, float64, (groups, d, d).
        scale: s, float64, (groups, out/groups), all above 0.
        largest: K.

    Returns:
        float64, shaped like ``weight``, whole numbers in [-K, K].
    """
    d = weight.shape[-1]
    wanted = weight @ torch.tril(cross).mT
    norms = torch.diagonal(gram, dim1=-2, dim2=-1)
    integers, chosen = torch.zeros_like(weight), torch.zeros_like(weight)
    for start in range(0, d, _BLOCK):
        stop = min(start + _BLOCK, d)
        rest = wanted[..., start:stop] - chosen[..., :start] @ gram[:, start:stop, :start].mT
        for t in range(start, stop):
            recent = chosen[..., start:t] @ gram[:, t, start:t, None]
            nearest = (rest[..., t - start] - recent[..., 0]) / (norms[:, t, None] * scale)
            nearest = torch.round(nearest).clamp(-largest, largest)
            dead = (norms[:, t, None] <= 0) | (weight[..., t] == 0)
            integers[..., t] = torch.where(dead, 0.0, nearest)
            chosen[..., t] = integers[..., t] * scale
    return integers


def strongest_first(
    weight: Tensor, cross: Tensor, gram: Tensor, scale: Tensor, largest: int
) -> Tensor:
    """Return what `follow_path` gives when the columns with the largest ``H_tt`` come first.

    Nothing corrects the last columns' errors; so these become the ones that weigh least.
    Arguments and result as there, in the given order of columns.
    """
    order = torch.diagonal(gram, dim1=-2, dim2=-1).argsort(dim=-1, descending=True, stable=True)
    columns = order[:, None, :].expand_as(weight)
    cross, gram = (
        matrix.gather(1, order[:, :, None].expand_as(matrix)).gather(
            2, order[:, None, :].expand_as(matrix)
        )
        for matrix in (cross, gram)
    )
    chosen = follow_path(weight.gather(2, columns), cross, gram, scale, largest)
    return torch.zeros_like(chosen).scatter(2, columns, chosen)
