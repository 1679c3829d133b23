"""Turns plain layers into layers with fake quantizers, and back.

A layer changes its class and nothing else: it stays the same object with the same parameters
under the same names, so that checkpoints, optimizers and channel groups stay valid. Quantizers
have scalar parameters only, so that removing channels does not affect them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slimtune.compression.quantization.fake_quantizers.own_forward import (
    AtKernel,
    derived,
    has_own_forward,
)
from slimtune.compression.quantization.protocol import StoredWeight


class WeightQuantizer(nn.Module):
    """Makes a float weight one of the values that the file can hold.

    Args:
        bits: that one weight takes in the file, 2..8.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weight: Tensor) -> Tensor:
        """Return the fake-quantized weight, (out, ...), with a gradient to ``weight``."""
        raise NotImplementedError

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return integers shaped like ``weight``, as floats, and their scale, () or (out,)."""
        raise NotImplementedError

    def hold(self, weight: Tensor) -> None:
        """Use the statistics of ``weight`` from now on, even when the weight changes."""

    @torch.no_grad()
    def stored(self, weight: Tensor) -> StoredWeight:
        """Return the weight as the file holds it; exact zeros are pruned weights and stay 0."""
        integers, scale = self.integers(weight)
        integers = (integers * (weight != 0)).cpu()
        scales = scale.float().cpu().expand(len(weight)).contiguous()
        return StoredWeight(integers.numpy().astype(np.int8), scales.numpy(), self.bits)


class InputQuantizer(nn.Module):
    """Rounds what a layer reads."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded tensor, with a gradient to ``x``."""
        raise NotImplementedError

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value that comes out."""
        raise NotImplementedError


class FakeQuantConv2d(nn.Conv2d):
    """A convolution that computes with a fake-quantized weight and input."""

    weight_quantizer: WeightQuantizer
    input_quantizer: InputQuantizer | None

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in, h, w) to (n, out, h', w')."""
        return self._conv_forward(_rounded(self, x), quantized_weight(self), self.bias)


class FakeQuantLinear(nn.Linear):
    """A linear layer that computes with a fake-quantized weight and input."""

    weight_quantizer: WeightQuantizer
    input_quantizer: InputQuantizer | None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return nn.functional.linear(_rounded(self, x), quantized_weight(self), self.bias)


class FakeQuantOwn(AtKernel):
    """A layer with a forward of its own whose kernel computes with both fake-quantized."""

    weight_quantizer: WeightQuantizer
    input_quantizer: InputQuantizer | None

    def kernel_weight(self) -> Tensor | None:
        """Return the fake-quantized weight."""
        return quantized_weight(self)

    def kernel_input(self, x: Tensor) -> Tensor:
        """Return the rounded input."""
        return _rounded(self, x)


FakeQuantLayer = FakeQuantConv2d | FakeQuantLinear | FakeQuantOwn
_FAKE: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: FakeQuantConv2d,
    nn.Linear: FakeQuantLinear,
}
_PLAIN = {fake: plain for plain, fake in _FAKE.items()}


def can_be_fake_quantized(layer: nn.Module) -> bool:
    """Return whether `insert` takes the layer.

    A subclass must make one kernel call with its weight as it is: see `own_forward.kernel_of`.
    """
    own = has_own_forward(layer) and isinstance(layer, nn.Conv2d | nn.Linear)
    return type(layer) in _FAKE or own


def insert(layer: nn.Module, weight: WeightQuantizer, inputs: InputQuantizer | None) -> None:
    """Give a plain convolution or linear layer fake quantizers, in place.

    Args:
        layer: a Conv2d or Linear, or of a subclass whose kernel gets its weight as it is.
        weight: for its weight.
        inputs: for what it reads; None leaves that in float.
    """
    # A new class, not a new object: whoever holds the layer or its parameters keeps them.
    layer.__class__ = _FAKE.get(type(layer)) or derived(type(layer), FakeQuantOwn)
    layer.register_module("weight_quantizer", weight)
    layer.register_module("input_quantizer", inputs)


def strip(model: nn.Module) -> nn.Module:
    """Turn every layer with fake quantizers into the plain layer with its latent weights.

    In place; names of parameters stay.
    """
    for _, layer in fake_quantized(model):
        _remove(layer)
    return model


@contextmanager
def quantizers_off(model: nn.Module) -> Iterator[None]:
    """Take the fake quantizers out for the time of the block, for surgery.

    If a layer's weight changes its shape, its quantizer keeps the statistics of the old weight,
    so that removing channels of zeros changes nothing else.
    """
    removed = [
        (layer, layer.weight.detach().clone(), _remove(layer))  # surgery tries cuts in place
        for _, layer in fake_quantized(model)
    ]
    try:
        yield
    finally:
        for layer, before, quantizers in removed:
            insert(layer, *quantizers)
            if layer.weight.shape != before.shape:
                quantizers[0].hold(before)


def fake_quantized(model: nn.Module) -> list[tuple[str, FakeQuantLayer]]:
    """Return the layers with fake quantizers and the qualified names of their weights."""
    return [
        (f"{name}.weight" if name else "weight", module)
        for name, module in model.named_modules()
        if isinstance(module, FakeQuantLayer)
    ]


def quantized_weight(layer: FakeQuantLayer) -> Tensor:
    """Return the weight that the layer computes with; pruned weights are 0 in it."""
    return keep_zeros(layer.weight_quantizer(layer.weight), layer.weight)


def keep_zeros(values: Tensor, weight: Tensor) -> Tensor:
    """Return ``values`` with 0 where ``weight`` is exactly 0, which means that it was pruned.

    The gradient passes everywhere, so that softly pruned channels may come back.
    """
    result: Tensor = _KeepZeros.apply(values, weight)  # type: ignore[no-untyped-call]
    return result


class _KeepZeros(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor) -> Tensor:
        return values * (weight != 0)  # some grids, such as DoReFa's, have no 0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _rounded(layer: FakeQuantLayer, x: Tensor) -> Tensor:
    return x if layer.input_quantizer is None else layer.input_quantizer(x)


def _remove(layer: FakeQuantLayer) -> tuple[WeightQuantizer, InputQuantizer | None]:
    quantizers = layer.weight_quantizer, layer.input_quantizer
    layer.__class__ = _PLAIN.get(type(layer)) or layer.plain  # type: ignore[assignment, union-attr]
    del layer._modules["weight_quantizer"], layer._modules["input_quantizer"]
    return quantizers
