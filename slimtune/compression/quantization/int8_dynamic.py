"""Dynamic int8 post-training quantization."""

from torch import Tensor, nn

from slimtune.compression.network.layers import weight_layers
from slimtune.compression.quantization.protocol import (
    QUANTIZATION,
    Activations,
    Quantizer,
    StoredWeight,
)
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.compression.settings import settings


@QUANTIZATION.register("int8_dynamic")
@settings
class Int8Dynamic(Quantizer):
    """Weights int8, activations uint8 with ranges that are measured for every batch.

    Weights: one symmetric scale an output channel, ``max|w| / 127``, integers in [-127, 127].
    Activations: scale and zero point from the smallest and largest value of the tensor at run
    time. This needs no calibration, but measuring the ranges costs time in every layer. The
    result of one image depends on the others in its batch: accuracy is measured in batches of
    250, latency with one image.

    Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A
    whitepaper", 2018, arXiv:1806.08342.
    """

    bits = 8
    reference = "Krishnamoorthi, 2018, arXiv:1806.08342"

    @property
    def activations(self) -> Activations:
        """``"dynamic"``."""
        return "dynamic"

    def weights(self, model: nn.Module, images: Tensor) -> dict[str, StoredWeight]:
        """Return the nearest integers at ``scale = max|w| / 127`` of each output channel."""
        return {
            layer.weight_name: fit_max(layer.weight, self.bits)
            for layer in weight_layers(model, images[:2])
        }
