"""Learned step size quantization."""

from math import sqrt

import torch
from torch import Tensor, nn

from slimtune.compression.quantization.fake_quantizers.clipping import uniform_levels
from slimtune.compression.quantization.fake_quantizers.fake_quant import (
    SMALLEST_STEP,
    Levels,
    fake_quantize,
)
from slimtune.compression.quantization.fake_quantizers.layers import (
    InputQuantizer,
    WeightQuantizer,
)
from slimtune.compression.quantization.fake_quantizers.learned import (
    InputStatistics,
    LearnedQuantizer,
)
from slimtune.compression.quantization.protocol import QUANTIZATION
from slimtune.compression.settings import settings


@QUANTIZATION.register("lsq")
@settings
class Lsq(LearnedQuantizer):
    """Uniform grids whose steps are trained like weights: ``q = s * round(clip(v / s, -N, P))``.

    One step s a tensor, of weights and of inputs, in every layer. Its gradient is
    ``round(v / s) - v / s`` inside the range and -N or P at and beyond its ends, times
    ``1 / sqrt(n P)``, where n counts the weights or the input values of one image. The first
    steps are ``2 mean|v| / sqrt(P)``. Weights have the symmetric range N = P = 2^(b-1) - 1. The
    paper's has one more negative level, which a batch norm with a negative factor could not
    mirror. Inputs have N = 0, P = 2^b - 1, or the range of weights if they have a sign.

    Esser, McKinstry, Bablani, Appuswamy, Modha, "Learned Step Size Quantization", ICLR 2020,
    arXiv:1902.08153.
    """

    reference = "Esser et al., ICLR 2020, arXiv:1902.08153"

    def weight_quantizer(self, weight: Tensor, bits: int) -> WeightQuantizer:
        """Return a learned step, at first from the mean of the weights that are not pruned."""
        return LsqWeight(weight, bits)

    def input_quantizer(self, statistics: InputStatistics, bits: int) -> InputQuantizer:
        """Return a learned step, at first from the mean that calibration showed."""
        return LsqInput(statistics, bits)


class LsqWeight(WeightQuantizer):
    """Symmetric, one learned step.

    Args:
        weight: sets the first step.
        bits: 2..8.
    """

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__(bits)
        self.levels = uniform_levels(bits, signed=True)
        live = weight.abs().sum() / weight.count_nonzero().clamp_min(1)
        self.step = nn.Parameter(_first_step(float(live), self.levels))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the fake-quantized weight."""
        gain = _gain(weight.numel(), self.levels)
        return fake_quantize(weight, self._positive_step(), self.levels, gain=gain)

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return integers shaped like ``weight``, as floats, and the step."""
        step = self._positive_step()
        return self.levels.nearest(weight, step), step

    def _positive_step(self) -> Tensor:
        return self.step.clamp_min(SMALLEST_STEP)


class LsqInput(InputQuantizer):
    """One learned step.

    Args:
        statistics: sets the first step.
        bits: 2..8.
    """

    def __init__(self, statistics: InputStatistics, bits: int) -> None:
        super().__init__()
        self.levels = uniform_levels(bits, statistics.signed)
        self.step = nn.Parameter(_first_step(statistics.mean, self.levels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels, shaped like ``x``."""
        gain = _gain(x[0].numel(), self.levels)
        return fake_quantize(x, self._positive_step(), self.levels, gain=gain)

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value that comes out."""
        step = float(self._positive_step().detach())
        return step * self.levels.low, step * self.levels.high

    def _positive_step(self) -> Tensor:
        return self.step.clamp_min(SMALLEST_STEP)


def _first_step(mean: float, levels: Levels) -> Tensor:
    return torch.tensor(max(2 * mean / sqrt(levels.high), SMALLEST_STEP))


def _gain(count: int, levels: Levels) -> float:
    return 1 / sqrt(count * levels.high)
