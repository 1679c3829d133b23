"""Fake quantization: rounding to the nearest level, as one operation with its own gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SMALLEST_STEP = 1e-8
"""Floor of a learned step or limit, which gradient descent may push to 0 and beyond."""
_PIECE = 2**17
"""Values at a time: the last few float32 copies of them fit into a core's cache of 1 MB."""


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
        if self.low == 0:
            return _looked_up(self.table, self._index(x, step))
        # The table holds the levels from 0 up; the sign is that of x.
        return torch.copysign(_looked_up(self.table, self._index(x, step)), x)

    def round(self, x: Tensor, step: Tensor, into: Tensor) -> None:
        """Write ``step`` times the nearest level, rounded to the type of ``into``.

        Args:
            x: float32, 1-D, without gaps.
            step: scalar.
            into: 1-D, without gaps.
        """
        if self.table is not None and self.low == 0:  # multiply the table in place of the values
            table = (self.table * step).to(into.dtype)
            torch.index_select(table, 0, self._index(x, step), out=into)
        else:
            into.copy_(self.nearest(x, step).mul_(step))

    def _index(self, x: Tensor, step: Tensor) -> Tensor:
        """Return the place in the table of each |x|, int32; NaN becomes 0."""
        halves = torch.mul(x, 2 / step).clamp_(2 * self.low, 2 * self.high)
        return (halves.abs_() if self.low else halves).int().clamp_(min=0)  # the int of NaN is any


def _table(levels: Sequence[int]) -> Tensor:
    """Return the level nearest to each interval [k/2, (k+1)/2), k from 0 to twice the largest.

    Levels are integers, so that the border between two of them is a multiple of 1/2 and the
    look-up is exact. A value on a border takes the upper level.
    """
    points = torch.tensor(levels, dtype=torch.float32)
    borders = (points[1:] + points[:-1]) / 2
    middles = (torch.arange(2 * levels[-1] + 1) + 0.5) / 2
    return points[torch.bucketize(middles, borders)]


def _looked_up(table: Tensor, index: Tensor) -> Tensor:
    """Return ``table[index]``, in a tenth of the time: by one flat index in memory order.

    Args:
        table: 1-D.
        index: int32, fresh from an elementwise operation and therefore without gaps in memory.
    """
    values = torch.empty_like(index, dtype=table.dtype)
    flat, order = (index.numel(),), (1,)
    torch.index_select(table, 0, index.as_strided(flat, order), out=values.as_strided(flat, order))
    return values


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
        x: float32 or bfloat16, any shape and memory format, which the result shares.
        step: scalar, above 0.
        levels: of the grid.
        gain: multiplies the gradient of the step.
        clips: whether the gradient of ``x`` is 0 at and beyond the ends of the range, or 1.
        rounds: whether the step's gradient counts what rounding does inside the range; without,
            it is 0 there.
    """
    result: Tensor = _FakeQuantize.apply(x, step, levels, _Gradient(gain, clips, rounds))  # type: ignore[no-untyped-call]
    return result


@dataclass(frozen=True)
class _Gradient:
    """How `fake_quantize` computes gradients; the fields are its arguments."""

    gain: float
    clips: bool
    rounds: bool


class _FakeQuantize(torch.autograd.Function):
    """One node in place of the five that autograd would record: less time and memory.

    On a processor it goes through the tensor in pieces that stay in the cache from the first
    operation to the last. All arithmetic is float32; what comes out has the type of ``x``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, levels: Levels, rule: _Gradient) -> Tensor:
        x = _dense(x)
        result = torch.empty_like(x)
        for part, into in zip(_pieces(x), _pieces(result), strict=True):
            levels.round(_wide(part), step, into)
        ctx.save_for_backward(x, step, result)
        ctx.levels, ctx.rule = levels, rule
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, step, result = ctx.saved_tensors
        low, high = (level * float(step) for level in (ctx.levels.low, ctx.levels.high))
        inside = torch.empty_like(x)
        gradient = _dense(gradient, like=x)
        products = []
        for g, v, r, into in zip(*map(_pieces, (gradient, x, result, inside)), strict=True):
            g, v, r = _wide(g), _wide(v), _wide(r)
            # g inside the range, 0 at and beyond its ends. With it, sum g * (q - x) / step inside
            # and sum g * level outside are (g . r - within . x) / step, in two dot products.
            within = torch.ops.aten.hardtanh_backward(g, v, low, high)
            into.copy_(within)
            if ctx.needs_input_grad[1]:
                products.append(torch.dot(g, r) - torch.dot(within, v if ctx.rule.rounds else r))
        of_step = None
        if products:
            of_step = torch.stack(products).double().sum().to(step.dtype) / step * ctx.rule.gain
        return inside if ctx.rule.clips else gradient, of_step, None, None


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.bfloat16 else x


def _pieces(x: Tensor) -> Sequence[Tensor]:
    """Return flat views of a dense tensor, in memory order; of one on a GPU all in one."""
    flat = x.as_strided((x.numel(),), (1,))
    return flat.split(_PIECE) if x.device.type == "cpu" else (flat,)


def _dense(x: Tensor, like: Tensor | None = None) -> Tensor:
    """Return ``x``, copied if it has gaps in memory, or another memory order than ``like``."""
    wanted = torch.empty_like(x if like is None else like, dtype=x.dtype, device="meta")
    if x.stride() == wanted.stride():
        return x
    return torch.empty_strided(
        wanted.shape, wanted.stride(), dtype=x.dtype, device=x.device
    ).copy_(x)
