"""Fake quantization: the nearest of some levels, as one operation with its own gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SMALLEST_STEP = 1e-8
"""Floor of a learned step or limit, which gradient descent may push to 0 and beyond."""


class Levels(nn.Module):
    """The integers that a value may become, in steps of the grid.

    Args:
        high: the largest.
        signed: whether the negatives of all levels are levels too; otherwise 0 is the smallest.
        only: the non-negative levels, ascending from 0 to ``high``; all integers if None.
    """

    table: Tensor | None

    def __init__(self, high: int, *, signed: bool, only: Sequence[int] | None = None) -> None:
        super().__init__()
        self.high, self.low = high, -high if signed else 0
        self.register_buffer("table", None if only is None else _table(only), persistent=False)

    def nearest(self, x: Tensor, step: Tensor) -> Tensor:
        """Return the level nearest to ``x / step``, as a float tensor shaped like ``x``."""
        if self.table is None:
            return torch.div(x, step).clamp_(self.low, self.high).round_()
        halves = torch.mul(x, 2 / step).clamp_(2 * self.low, 2 * self.high)
        if self.low == 0:
            return _looked_up(self.table, _index(halves))
        return torch.copysign(_looked_up(self.table, _index(halves.abs())), halves)


def _table(levels: Sequence[int]) -> Tensor:
    """Return the level nearest to each interval [k/2, (k+1)/2), k from 0 to twice the largest.

    Levels are integers, so that the border between two of them is a multiple of 1/2 and the
    look-up is exact. A value on a border takes the upper level.
    """
    known = torch.tensor(levels, dtype=torch.float32)
    borders = (known[1:] + known[:-1]) / 2
    middles = (torch.arange(2 * levels[-1] + 1) + 0.5) / 2
    return known[torch.bucketize(middles, borders)]


def _index(halves: Tensor) -> Tensor:
    """Return whole numbers from 0 up; NaN, whose integer may be anything, becomes 0."""
    return halves.int().clamp_(min=0)


def _looked_up(table: Tensor, index: Tensor) -> Tensor:
    """Return ``table[index]``, in a tenth of the time: by one flat index in memory order.

    Args:
        table: 1-D.
        index: int32, fresh from an elementwise operation and therefore without gaps in memory.
    """
    found = torch.empty_like(index, dtype=table.dtype)
    flat, order = (index.numel(),), (1,)
    torch.index_select(table, 0, index.as_strided(flat, order), out=found.as_strided(flat, order))
    return found


def fake_quantize(
    x: Tensor,
    step: Tensor,
    levels: Levels,
    *,
    gain: float = 1.0,
    clips: bool = True,
    rounds: bool = True,
) -> Tensor:
    """Return ``step * level``, the level being the nearest to ``x / step``.

    The gradient of rounding is taken as 1 (Bengio et al. 2013, arXiv:1308.3432). That of a
    result q to the step is then ``(q - x) / step`` inside the levels' range and the largest or
    smallest level at and beyond its ends.

    Args:
        x: float32, any shape and memory format, which the result shares.
        step: scalar, above 0.
        levels: of the grid.
        gain: multiplies the gradient of the step.
        clips: whether the gradient of ``x`` is 0 at and beyond the ends of the range, or 1.
        rounds: whether the step's gradient counts what rounding does inside the range; without,
            it is 0 there.
    """
    result: Tensor = _FakeQuantize.apply(x, step, levels, gain, clips, rounds)  # type: ignore[no-untyped-call]
    return result


class _FakeQuantize(torch.autograd.Function):
    """One node in place of the five that autograd would record: less time and memory."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, levels: Levels, gain: float, clips: bool, rounds: bool
    ) -> Tensor:
        result = levels.nearest(x, step).mul_(step)
        ctx.save_for_backward(x, step, result)
        ctx.levels, ctx.gain, ctx.clips, ctx.rounds = levels, gain, clips, rounds
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, step, result = ctx.saved_tensors
        unit = float(step)
        inside = torch.ops.aten.hardtanh_backward(
            gradient, x, ctx.levels.low * unit, ctx.levels.high * unit
        )
        of_step = None
        if ctx.needs_input_grad[1]:
            subtracted = x if ctx.rounds else result
            of_step = ((gradient * result).sum() - (inside * subtracted).sum()) / step * ctx.gain
        return inside if ctx.clips else gradient, of_step, None, None, None, None
