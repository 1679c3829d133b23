"""The base of quantization-aware training: inserts fake quantizers and sets their first ranges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from slimtune.compression.network.layers import WeightLayer, weight_layers
from slimtune.compression.quantization.fake_quantizers.layers import (
    InputQuantizer,
    WeightQuantizer,
    can_be_fake_quantized,
    fake_quantized,
    insert,
)
from slimtune.compression.quantization.fake_quantizers.own_forward import (
    Kernel,
    kernel_of,
    own_kernels,
    uses_its_weight,
)
from slimtune.compression.quantization.protocol import Activations, Quantizer, StoredWeight
from slimtune.compression.quantization.rounding.fit import SMALLEST_SCALE
from slimtune.compression.quantization.rounding.layer_bits import (
    Bits,
    CalibrationImages,
    FirstLastBits,
    StageBits,
    layer_bits,
)
from slimtune.compression.settings import MOST_EPOCHS, settings
from slimtune.errors import TrialError

_CHUNK = 64
_SAMPLE = 2**20
"""Values of one layer's input, at most, that are sorted for each chunk of images."""


@dataclass(frozen=True)
class InputStatistics:
    """Statistics of a layer's input over the calibration images.

    Attributes:
        limit: the 99.9th percentile of the absolute values, above 0.
        mean: of the absolute values, above 0.
        signed: whether any value is below 0.
        features: how many values one image gives.
    """

    limit: float
    mean: float
    signed: bool
    features: int


@settings
class LearnedQuantizer(Quantizer):
    """Trains with fake quantizers in every layer.

    All inputs but the image are rounded to ``activation_bits``, the last layer's to 8 bits. The
    file computes with uint8 on the same learned range, which is finer when the bits are fewer.
    """

    bits: Bits = 4
    activation_bits: Annotated[
        int,
        Field(
            ge=2,
            le=8,
            description="bits of a layer's input in training; the file uses 8 bits",
        ),
    ] = 8
    first_last_bits: FirstLastBits = 8
    stage_bits: StageBits = ""
    calibration_images: CalibrationImages = 256
    epochs: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_EPOCHS,
            description="epochs of training with the fake quantizers in place",
        ),
    ] = 3
    lr: Annotated[
        float, Field(gt=0, le=10, description="initial learning rate of these epochs")
    ] = 0.01

    trains = True

    @property
    def activations(self) -> Activations:
        """``"static"``."""
        return "static"

    def weight_quantizer(self, weight: Tensor, bits: int) -> WeightQuantizer:
        """Return the quantizer of a layer between the first and the last."""
        raise NotImplementedError

    def end_quantizer(self, weight: Tensor, bits: int) -> WeightQuantizer:
        """Return the quantizer of the first or last layer's weight."""
        return self.weight_quantizer(weight, bits)

    def input_quantizer(self, statistics: InputStatistics, bits: int) -> InputQuantizer:
        """Return the quantizer of what a layer reads."""
        raise NotImplementedError

    def prepare(self, model: nn.Module, images: Tensor) -> nn.Module:
        """Insert fake quantizers that fit the weights and what ``images`` show, in place.

        Convolutions of one or three axes, and subclasses of the usual layers whose kernel gets
        another weight than theirs (see `own_forward`), are left alone and stay float in the file.

        Raises:
            TrialError: two layers share one weight.
        """
        layers = weight_layers(model, images[:2])
        bits = layer_bits(layers, self.bits, self.first_last_bits, self.stage_bits)
        own = own_kernels(model, images[:2])
        layers = [layer for layer in layers if can_be_fake_quantized(layer.module)]
        layers = [layer for layer in layers if uses_its_weight(layer.module, own)]
        _check_apart(layers)
        statistics = _input_statistics(model, images, layers, own)
        for layer in layers:
            weight = layer.weight.detach()
            fit = self.end_quantizer if layer.first or layer.last else self.weight_quantizer
            inputs = None
            if not layer.first:
                width = 8 if layer.last else self.activation_bits
                inputs = self.input_quantizer(statistics[layer.name], width).to(weight.device)
            insert(layer.module, fit(weight, bits[layer.weight_name]).to(weight.device), inputs)
        return model

    def weights(self, model: nn.Module, images: Tensor) -> dict[str, StoredWeight]:
        """Return the integers that the fake quantizers compute with."""
        return {
            name: layer.weight_quantizer.stored(layer.weight)
            for name, layer in fake_quantized(model)
        }

    def ranges(self, model: nn.Module) -> Mapping[str, tuple[float, float]]:
        """Return the learned range of every input but the image."""
        return {
            name: layer.input_quantizer.range()
            for name, layer in fake_quantized(model)
            if layer.input_quantizer is not None
        }


class MaxWeight(WeightQuantizer):
    """One symmetric scale an output channel, ``max|w| / (2^(bits-1) - 1)``; nothing learned."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return the nearest values; their gradient is the weight's."""
        with torch.no_grad():
            integers, scale = self.integers(weight)
            difference = integers * _by_channel(scale, weight) - weight
        return weight + difference  # the difference has no gradient, which passes unchanged

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return integers shaped like ``weight``, as floats, and their scale, (out,)."""
        largest = 2 ** (self.bits - 1) - 1
        scale = weight.abs().flatten(1).amax(dim=1).div(largest).clamp_min(SMALLEST_SCALE)
        return torch.round(weight / _by_channel(scale, weight)), scale


def _by_channel(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (weight.ndim - 1))


_OwnKernels = Mapping[nn.Module, Kernel | None]


def _check_apart(layers: list[WeightLayer]) -> None:
    """Check that each layer has a weight of its own.

    Raises:
        TrialError: two share one, which two quantizers would round in two ways.
    """
    first: dict[int, str] = {}
    for layer in layers:
        other = first.setdefault(id(layer.weight), layer.weight_name)
        if other != layer.weight_name:
            raise TrialError(
                f"a learned quantizer needs a weight for each layer, but {other} and "
                f"{layer.weight_name} share one; use rtn, gpfq or int8_static, or call one module "
                "twice"
            )


def _input_statistics(
    model: nn.Module, images: Tensor, layers: list[WeightLayer], own: _OwnKernels
) -> dict[str, InputStatistics]:
    """Return what each layer's kernel reads when ``model`` sees ``images`` in eval mode."""
    summaries: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    features: dict[str, int] = {}

    def watch(layer: WeightLayer) -> torch.utils.hooks.RemovableHandle:
        def note(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            kernel = kernel_of(layer.module, args[0]) if layer.module in own else None
            value = args[0] if kernel is None else kernel.value
            summaries[layer.name].append(_summary(value))
            features[layer.name] = value[0].numel()

        return layer.module.register_forward_pre_hook(note)

    hooks = [watch(layer) for layer in layers]
    try:
        with torch.no_grad():
            model.eval()
            for chunk in images.split(_CHUNK):
                model(chunk)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _merged(parts, features[name]) for name, parts in summaries.items()}


def _summary(x: Tensor) -> Tensor:
    """Return the 99.9th percentile and the mean of |x|, and the smallest x, (3,)."""
    sizes = x.abs().flatten()
    sample = sizes[:: -(-sizes.numel() // _SAMPLE)]
    above = sample.numel() - -(-sample.numel() * 999 // 1000)
    percentile = sample.topk(above + 1).values[-1]  # faster than `kthvalue`
    return torch.stack([percentile, sizes.mean(), x.min()])


def _merged(parts: list[Tensor], features: int) -> InputStatistics:
    limit, mean, _ = torch.stack(parts).mean(dim=0).tolist()
    smallest = min(float(part[2]) for part in parts)
    dead = max(limit, mean) <= 0  # only zeros: any range will do
    return InputStatistics(1.0 if dead else max(limit, mean), mean or 1.0, smallest < 0, features)
