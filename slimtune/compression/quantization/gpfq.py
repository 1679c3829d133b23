"""Greedy path-following quantization."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from slimtune.compression.network.copies import cloned
from slimtune.compression.network.layers import WeightLayer, weight_layers
from slimtune.compression.quantization.fake_quantizers.own_forward import (
    Kernel,
    has_own_forward,
    kernel_of,
    own_kernels,
    uses_its_weight,
)
from slimtune.compression.quantization.protocol import (
    QUANTIZATION,
    Activations,
    Quantizer,
    StoredWeight,
)
from slimtune.compression.quantization.rounding.fit import (
    fit_scale,
    largest_integer,
    round_layers,
)
from slimtune.compression.quantization.rounding.layer_bits import (
    ActivationBits,
    Bits,
    CalibrationImages,
    FirstLastBits,
    Granularity,
    StageBits,
    layer_bits,
)
from slimtune.compression.quantization.rounding.patches import second_moments
from slimtune.compression.quantization.rounding.path_following import follow_path, strongest_first
from slimtune.compression.settings import settings

_SEED = 0
"""Seed of the sampled patches, the same in every trial: a trial's seed has no effect on them."""


@QUANTIZATION.register("gpfq")
@settings
class Gpfq(Quantizer):
    """Weights are chosen one after another so that each corrects the error of those before it.

    Column t of a layer becomes the point of the grid nearest to
    ``<X~_t, u> / ||X~_t||^2`` with ``u = sum_{j<=t} w_j X_j - sum_{j<t} q_j X~_j``, where X are
    the layer's inputs in the float network and X~ its inputs after the layers that are quantized
    already, so that their error is corrected too (see `path_following`). Grid:
    ``c R / K * {-K..K}``, ``K = 2^(bits-1) - 1``, R the largest ``|w|`` of an output channel.
    The paper has one R for each layer, the mean of these (granularity ``tensor``), columns in
    the order in which they are stored, and K one larger, which takes one bit more in the file.
    Biases stay float. So do 1-d and 3-d convolutions, and layers with a forward of their own
    that does more with the weight than one kernel call. Activations are float while the weights
    are chosen.

    Zhang, Zhou, Saab, "Post-training Quantization for Neural Networks with Provable Guarantees",
    SIAM J. Math. Data Sci. 5(2), 2023, arXiv:2201.11113; Lybrand, Saab, "A Greedy Algorithm for
    Quantizing Neural Networks", JMLR 2021, arXiv:2010.15995.
    """

    bits: Bits = 4
    granularity: Granularity = "channel"
    c: Annotated[
        float, Field(ge=0.1, le=4, description="reach of the grid, as a multiple of R")
    ] = 0.9
    patches: Annotated[
        int, Field(ge=64, le=1_000_000, description="input patches drawn for each layer")
    ] = 8192
    order: Annotated[
        Literal["strongest_first", "as_stored"],
        Field(
            description="order of a layer's columns: by the energy of their inputs, or by index"
        ),
    ] = "strongest_first"
    first_last_bits: FirstLastBits = 8
    stage_bits: StageBits = ""
    activation_bits: ActivationBits = 8
    calibration_images: CalibrationImages = 256

    reference = "Zhang, Zhou, Saab, SIAM J. Math. Data Sci. 2023, arXiv:2201.11113"

    @property
    def activations(self) -> Activations:
        """``"static"`` with 8 activation bits, ``"float"`` with 32."""
        return "static" if self.activation_bits == 8 else "float"

    def quick(self) -> Quantizer:
        """Return a quantizer that rounds to the nearest point of the same grid."""
        return Rounded(**dataclasses.asdict(self)).with_few_images()  # type: ignore[call-overload]

    def weights(self, model: nn.Module, images: Tensor) -> dict[str, StoredWeight]:
        """Return the integers of 2-d convolutions and linear layers, in one forward pass.

        The batch holds every image twice, once for the float network and once for the quantized
        one. Each layer is quantized when it is reached, from what both halves bring it, and goes
        on with the float weight on the one half and the integers on the other. So each layer's
        predecessors are done before it, whatever the branches. Memory: activations of twice the
        images, and two float64 matrices of (weights of an output channel)^2.
        """
        network = cloned(model).eval()
        layers = weight_layers(network, images[:2])
        bits = layer_bits(layers, self.bits, self.first_last_bits, self.stage_bits)
        generator = torch.Generator().manual_seed(_SEED)
        stored: dict[str, StoredWeight] = {}
        own = own_kernels(network, images[:2])
        for layer in layers:
            if not _is_followed(layer.module, own):
                continue
            hook = _QuantizeWhenReached(self, layer, bits[layer.weight_name], generator, stored)
            layer.module.register_forward_hook(hook)
        # One pass quantizes all layers: the hooks run in the order in which the layers compute.
        with torch.no_grad():
            network(torch.cat([images, images]))
        return stored


@settings
class Rounded(Gpfq):
    """The grid of `Gpfq` with each weight rounded by itself: for previews, not for recipes."""

    def weights(self, model: nn.Module, images: Tensor) -> dict[str, StoredWeight]:
        """Return the nearest integers of 2-d convolutions and linear layers."""
        layers = weight_layers(model, images[:2])
        bits = layer_bits(layers, self.bits, self.first_last_bits, self.stage_bits)
        own = own_kernels(model, images[:2])
        followed = [layer for layer in layers if _is_followed(layer.module, own)]
        return round_layers(followed, bits, self.granularity, self.c)


def _is_followed(layer: nn.Module, own: Mapping[nn.Module, Kernel | None]) -> bool:
    """Return whether a layer's output is its weight times its input, as the method takes it."""
    return isinstance(layer, nn.Conv2d | nn.Linear) and uses_its_weight(layer, own)


@dataclasses.dataclass
class _QuantizeWhenReached:
    """A forward hook that sends the second half of a layer's batch through its integers."""

    method: Gpfq
    layer: WeightLayer
    bits: int
    generator: torch.Generator
    stored: dict[str, StoredWeight]

    def __post_init__(self) -> None:
        self.quantized = cloned(self.layer.module)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        plain, behind_quantized = inputs[0].chunk(2)
        float_output = output.chunk(2)[0]
        name = self.layer.weight_name
        if name not in self.stored:  # a layer that is called twice keeps its first integers
            self.stored[name] = self._fit((plain, behind_quantized), float_output.shape)
            values = torch.from_numpy(self.stored[name].dequantized())
            self.quantized.get_parameter("weight").copy_(values)
        return torch.cat([float_output, self.quantized(behind_quantized)])

    def _fit(self, inputs: tuple[Tensor, Tensor], output_shape: torch.Size) -> StoredWeight:
        module = self.layer.module
        if has_own_forward(module):  # what its kernel reads, such as the padded input
            first, second = (kernel_of(module, x) for x in inputs)
            assert first is not None and second is not None
            module, output_shape = first.as_layer(), first.output_shape
            inputs = first.value, second.value
        return self._followed(module, inputs, output_shape)

    def _followed(
        self, module: nn.Module, inputs: tuple[Tensor, Tensor], output_shape: torch.Size
    ) -> StoredWeight:
        method, weight = self.method, self.layer.weight
        scale = fit_scale(weight, self.bits, method.granularity, method.c)
        cross, gram = second_moments(
            module, inputs, output_shape, count=method.patches, generator=self.generator
        )
        groups = len(gram)
        follow = strongest_first if method.order == "strongest_first" else follow_path
        integers = follow(
            weight.double().reshape(groups, len(weight) // groups, -1),
            cross,
            gram,
            torch.from_numpy(scale).double().to(weight.device).reshape(groups, -1),
            largest_integer(self.bits),
        )
        array = integers.reshape(weight.shape).cpu().numpy().astype(np.int8)
        return StoredWeight(array, scale, self.bits)
