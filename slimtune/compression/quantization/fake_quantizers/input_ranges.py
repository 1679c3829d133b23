"""Plain layers that round their input on a range that training with fake quantizers learned.

A network that was trained with fake quantizers relies on their clipping: without it, the accuracy
of one network fell from 0.99 to 0.81. These layers clip and round as the file does. They are
convolutions and linear layers with the usual parameters, so that weights, names and surgery work
as before.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from slimtune.compression.quantization.fake_quantizers.layers import fake_quantized
from slimtune.compression.quantization.fake_quantizers.own_forward import (
    AtKernel,
    derived,
    has_own_forward,
)

_Range = tuple[float, float]


class _Ranged(nn.Module):
    """Rounds the input of the layer that comes after it among the bases."""

    input_range: _Range

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer makes of the rounded input."""
        output: Tensor = super().forward(rounded(x, *self.input_range))
        return output

    def extra_repr(self) -> str:
        """Return torch's words for the layer, and the range."""
        return f"{super().extra_repr()}, input_range={_words(self.input_range)}"


class RangedConv2d(_Ranged, nn.Conv2d):
    """A convolution that rounds its input, (n, in, h, w), to 8 bits on ``input_range``."""


class RangedLinear(_Ranged, nn.Linear):
    """A linear layer that rounds its input, (..., in), to 8 bits on ``input_range``."""


class RangedOwn(AtKernel):
    """A layer with a forward of its own whose kernel's input is rounded on ``input_range``."""

    input_range: _Range

    def kernel_input(self, x: Tensor) -> Tensor:
        """Return the rounded input."""
        return rounded(x, *self.input_range)


_RANGED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: RangedConv2d,
    nn.Linear: RangedLinear,
}


def input_ranges(network: nn.Module) -> dict[str, _Range]:
    """Return the (low, high) that each layer with an input quantizer clips to.

    Args:
        network: what the file computes, from `baking.as_in_file`.

    Returns:
        By the qualified name of the layer's weight; empty for a network in plain layers.
    """
    return {
        name: layer.input_quantizer.range()
        for name, layer in fake_quantized(network)
        if layer.input_quantizer is not None
    }


def set_input_ranges(network: nn.Module, ranges: Mapping[str, _Range]) -> nn.Module:
    """Let layers of ``network`` round their inputs, in place, and return it.

    Args:
        network: in plain layers.
        ranges: from `input_ranges`; low is 0 or ``-high``.

    Raises:
        ValueError: a name that no convolution or linear layer has, or a range that is none.
    """
    layers = {f"{name}.weight" if name else "weight": m for name, m in network.named_modules()}
    for name, (low, high) in ranges.items():
        layer = layers.get(name)
        if layer is None or type(layer) not in _RANGED and not has_own_forward(layer):
            raise ValueError(f"input_ranges: '{name}' is no weight of a layer")
        if not (high > 0 and low in (0, -high)):
            raise ValueError(f"input_ranges: '{name}' has the range {low}..{high}")
        layer.__class__ = _RANGED.get(type(layer)) or derived(type(layer), RangedOwn)
        layer.input_range = (float(low), float(high))  # type: ignore[assignment]
    return network


def rounded(x: Tensor, low: float, high: float) -> Tensor:
    """Return ``x`` clipped to low..high and rounded to 255 steps, or with a sign to 127 each way.

    The gradient is 1 inside the range and 0 outside.
    """
    levels = 127 if low < 0 else 255
    return torch.fake_quantize_per_tensor_affine(
        x, high / levels, 0, -levels if low < 0 else 0, levels
    )


def _words(input_range: _Range) -> str:
    low, high = input_range
    return f"({low:.4g}, {high:.4g})"
