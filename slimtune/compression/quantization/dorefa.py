"""DoReFa-Net quantization."""

from typing import Annotated

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from slimtune.compression.quantization.fake_quantizers.clipping import ClippedInput, uniform_levels
from slimtune.compression.quantization.fake_quantizers.layers import (
    InputQuantizer,
    WeightQuantizer,
)
from slimtune.compression.quantization.fake_quantizers.learned import (
    InputStatistics,
    LearnedQuantizer,
    MaxWeight,
)
from slimtune.compression.quantization.protocol import QUANTIZATION
from slimtune.compression.settings import settings


def refuse_8_bits(bits: object) -> object:
    """Pass on any other width.

    Raises:
        ValueError: for 8 bits.
    """
    if bits == 8:
        raise ValueError(
            "must be 2 to 7, but got 8: the 256 levels are odd integers up to 255, which int8 "
            "does not hold; use 7, or lsq"
        )
    return bits


DoReFaBits = Annotated[
    int,
    Field(ge=2, le=7, description="bits of a weight in the file"),
    BeforeValidator(refuse_8_bits),
]


@settings
class TanhWeights(LearnedQuantizer):
    """Base of `DoReFa` and `Pact`: DoReFa's weights between the first and the last layer."""

    bits: DoReFaBits = 4

    def weight_quantizer(self, weight: Tensor, bits: int) -> WeightQuantizer:
        """Return the paper's for up to 7 bits, a symmetric one for 8."""
        return DoReFaWeight(weight, bits) if bits < 8 else MaxWeight(bits)

    def end_quantizer(self, weight: Tensor, bits: int) -> WeightQuantizer:
        """Return a symmetric quantizer."""
        return MaxWeight(bits)


@QUANTIZATION.register("dorefa")
@settings
class DoReFa(TanhWeights):
    """Weights squeezed by tanh onto a uniform grid; inputs clipped at a constant.

    ``q = 2 Q_b(tanh(w) / (2 max|tanh w|) + 1/2) - 1`` with ``Q_b`` rounding to multiples of
    ``1 / (2^b - 1)``: odd multiples of that, no 0 among them. A layer with pruned weights needs
    the 0 and has one step less, so that its values still fit b bits. The result is multiplied
    by ``max|tanh w|`` of the layer before training, a constant. A batch norm after the layer
    cancels it; a layer without one needs it to keep its scale. Gradients pass rounding
    unchanged, and go through tanh and the maximum as in the paper's code.

    Inputs are clipped to [0, c] and rounded to 2^k - 1 steps. The paper has c = 1 for networks
    that are trained this way from the start; here c is the 99.9th percentile over the
    calibration images. Inputs with a sign are clipped to [-c, c]. The first and the last layer,
    and layers of 8 bits, have symmetric weights with one scale ``max|w| / (2^(b-1) - 1)`` for
    each output channel.

    Zhou, Wu, Ni, Zhou, Wen, Zou, "DoReFa-Net: Training Low Bitwidth Convolutional Neural
    Networks with Low Bitwidth Gradients", 2016, arXiv:1606.06160.
    """

    reference = "Zhou et al., 2016, arXiv:1606.06160"

    def input_quantizer(self, statistics: InputStatistics, bits: int) -> InputQuantizer:
        """Return a constant clip at the 99.9th percentile."""
        return ClippedInput(
            statistics.limit, uniform_levels(bits, statistics.signed), learned=False
        )


class DoReFaWeight(WeightQuantizer):
    """Multiples of ``factor / steps``, odd ones or, if any weight is pruned, even ones.

    Args:
        weight: sets the constant factor; what is exactly 0 has been pruned.
        bits: 2..7.
    """

    factor: Tensor
    held: Tensor | None

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__(bits)
        self.steps = 2**bits - (2 if bool((weight == 0).any()) else 1)
        self.register_buffer("factor", _peak(weight.detach()))
        self.register_buffer("held", None)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the fake-quantized weight, before what was pruned is put back to 0."""
        share = self._share(weight)
        rounded = share + (torch.round(share * self.steps) / self.steps - share).detach()
        return (2 * rounded - 1) * self.factor

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return integers shaped like ``weight``, as floats, and their scale."""
        odd = 2 * torch.round(self._share(weight) * self.steps) - self.steps
        unit = 2 - self.steps % 2  # even numbers are halved
        return odd / unit, self.factor * unit / self.steps

    def hold(self, weight: Tensor) -> None:
        """Use the largest of ``weight`` from now on."""
        self.held = _peak(weight) if self.held is None else self.held

    def _share(self, weight: Tensor) -> Tensor:
        """Return where each weight lies between the smallest, 0, and the largest, 1."""
        peak = _peak(weight) if self.held is None else self.held
        return (torch.tanh(weight) / (2 * peak) + 0.5).clamp(0, 1)


def _peak(weight: Tensor) -> Tensor:
    return torch.tanh(weight).abs().max().clamp_min(1e-8)
