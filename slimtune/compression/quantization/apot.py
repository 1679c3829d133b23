"""Additive powers-of-two quantization."""

from typing import Annotated

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from slimtune.compression.quantization.fake_quantizers.clipping import ClippedInput, uniform_levels
from slimtune.compression.quantization.fake_quantizers.fake_quant import Levels, fake_quantize
from slimtune.compression.quantization.fake_quantizers.layers import (
    InputQuantizer,
    WeightQuantizer,
    keep_zeros,
)
from slimtune.compression.quantization.fake_quantizers.learned import (
    InputStatistics,
    LearnedQuantizer,
    MaxWeight,
)
from slimtune.compression.quantization.protocol import QUANTIZATION
from slimtune.compression.quantization.rounding.apot_grid import apot_levels
from slimtune.compression.settings import settings

LARGEST_BITS = 6
"""With more bits, int8 does not hold the levels as integers."""

_EPSILON = 1e-5
_SMALLEST_ALPHA = 1e-3
_SAMPLE = 2**16
"""Weights, at most, that the first clip is fitted to."""


def refuse_7_and_8_bits(bits: object) -> object:
    """Pass on any other width.

    Raises:
        ValueError: for 7 and 8 bits.
    """
    if bits in (7, 8):
        raise ValueError(
            f"must be 2 to 6, but got {bits}: the levels of {bits} bits are integers up to "
            f"{apot_levels(int(str(bits)) - 1)[-1]}, which int8 does not hold; use 6, or lsq"
        )
    return bits


@QUANTIZATION.register("apot")
@settings
class Apot(LearnedQuantizer):
    """Levels that are sums of powers of two: fine near 0 and coarse near the clip.

    A weight of b bits is ``c a P(clip(v / a, -1, 1))``, v the weight minus the mean of its
    tensor and divided by the standard deviation, P the nearest of the levels of b - 1 bits with
    both signs (`apot_levels`; for 2 bits -1, 0 and 1). Mean and deviation are those of the
    weights that are not pruned, and are treated as constants. The gradient to v passes rounding
    and clip unchanged, as in the authors' code for CIFAR. The clip a is trained with its exact
    gradient: ``P(v/a) - v/a`` inside, the sign of v outside. Two things differ from the paper. c
    is the layer's deviation before training, a constant; a batch norm after the layer cancels
    it, and a layer without one needs it. The first a is the one with the smallest squared error
    instead of 3, because training is short. Levels are integers up to 4, 10, 48 and 100 times
    ``c a / largest``, which int8 holds exactly.

    Inputs of k bits become ``a P(clip(x / a, 0, 1))`` with the levels of k bits; inputs with a
    sign are rounded as weights are. Inputs of 7 and 8 bits have uniform levels. The file always
    computes with 8 uniform bits on [0, a]. The first a is the 99.9th percentile over the
    calibration images. The first and the last layer, and layers of 7 or 8 bits, have symmetric
    uniform weights with one scale ``max|w| / (2^(b-1) - 1)`` for each output channel.

    Li, Dong, Wang, "Additive Powers-of-Two Quantization: An Efficient Non-uniform
    Discretization for Neural Networks", ICLR 2020, arXiv:1909.13144.
    """

    bits: Annotated[
        int,
        Field(ge=2, le=LARGEST_BITS, description="bits of a weight in the file"),
        BeforeValidator(refuse_7_and_8_bits),
    ] = 4

    reference = "Li, Dong, Wang, ICLR 2020, arXiv:1909.13144"

    def weight_quantizer(self, weight: Tensor, bits: int) -> WeightQuantizer:
        """Return the paper's for up to 6 bits, a symmetric uniform one above."""
        return ApotWeight(weight, bits) if bits <= LARGEST_BITS else MaxWeight(bits)

    def end_quantizer(self, weight: Tensor, bits: int) -> WeightQuantizer:
        """Return a symmetric uniform quantizer."""
        return MaxWeight(bits)

    def input_quantizer(self, statistics: InputStatistics, bits: int) -> InputQuantizer:
        """Return a clip that is trained, at first at the 99.9th percentile."""
        if bits > LARGEST_BITS:
            return ClippedInput(statistics.limit, uniform_levels(bits, statistics.signed))
        levels = signed_levels(bits) if statistics.signed else unsigned_levels(bits)
        return ClippedInput(statistics.limit, levels)


def signed_levels(bits: int) -> Levels:
    """Return the levels of a ``bits``-wide number with a sign, 2..6."""
    only = (0, 1) if bits == 2 else apot_levels(bits - 1)
    return Levels(only[-1], signed=True, only=only)


def unsigned_levels(bits: int) -> Levels:
    """Return the levels of a ``bits``-wide number without a sign, 2..6."""
    only = apot_levels(bits)
    return Levels(only[-1], signed=False, only=only)


class ApotWeight(WeightQuantizer):
    """Normalised, clipped at a trained limit, and rounded to sums of powers of two.

    Args:
        weight: sets the first clip and the constant factor.
        bits: 2..6.
    """

    factor: Tensor
    held: Tensor | None

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__(bits)
        self.levels = signed_levels(bits).to(weight.device)
        self.register_buffer("factor", mean_and_deviation(weight)[1])
        self.register_buffer("held", None)
        self.alpha = nn.Parameter(torch.tensor(_best_alpha(self._normalised(weight), self.levels)))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the fake-quantized weight."""
        normalised = self._normalised(weight)
        return fake_quantize(normalised, self._step(), self.levels, clips=False) * self.factor

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the levels' integers shaped like ``weight``, as floats, and their scale."""
        step = self._step()
        return self.levels.nearest(self._normalised(weight), step), step * self.factor

    def hold(self, weight: Tensor) -> None:
        """Use mean and deviation of ``weight`` from now on."""
        self.held = mean_and_deviation(weight) if self.held is None else self.held

    def _normalised(self, weight: Tensor) -> Tensor:
        mean, deviation = mean_and_deviation(weight) if self.held is None else self.held
        return keep_zeros((weight - mean) / deviation, weight)

    def _step(self) -> Tensor:
        return self.alpha.clamp_min(_SMALLEST_ALPHA) / self.levels.high


@torch.no_grad()
def mean_and_deviation(weight: Tensor) -> Tensor:
    """Return mean and standard deviation of the weights that are not exactly 0, (2,)."""
    live = weight != 0
    count = live.sum()
    mean = weight.sum() / count.clamp_min(1)
    variance = ((weight - mean).square() * live).sum() / (count - 1).clamp_min(1)
    return torch.stack([mean, variance.sqrt() + _EPSILON])


@torch.no_grad()
def _best_alpha(normalised: Tensor, levels: Levels) -> float:
    """Return the clip among 0.5, 0.6, ... 8.0 with the smallest squared error on a sample."""
    values = normalised.flatten()
    values = values[:: -(-values.numel() // _SAMPLE)]
    errors = {}
    for tenth in range(5, 81):
        step = torch.tensor(tenth / 10 / levels.high, device=values.device)
        rounded = levels.nearest(values, step) * step
        errors[tenth / 10] = float((rounded - values).square().sum())
    return min(errors, key=errors.__getitem__)
