"""Static int8 post-training quantization."""

from typing import Annotated

from pydantic import Field
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


@QUANTIZATION.register("int8_static")
@settings
class Int8Static(Quantizer):
    """Weights are int8 and activations uint8, both on fixed grids that are set after training.

    Weights: one symmetric scale an output channel, ``max|w| / 127``, integers in [-127, 127].
    Activations: one scale and zero point a tensor, from the smallest and largest value seen
    on calibration images, the range widened to contain 0. Ties round to even.

    Jacob, Kligys, Chen, Zhu, Tang, Howard, Adam, Kalenichenko, "Quantization and Training of
    Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018,
    arXiv:1712.05877.
    """

    calibration_images: Annotated[
        int, Field(ge=16, le=4096, description="training images that set the activation ranges")
    ] = 512

    bits = 8
    reference = "Jacob et al., CVPR 2018, arXiv:1712.05877"

    @property
    def activations(self) -> Activations:
        """``"static"``."""
        return "static"

    def weights(self, model: nn.Module, images: Tensor) -> dict[str, StoredWeight]:
        """Return the nearest integers at ``scale = max|w| / 127`` of each output channel."""
        return {
            layer.weight_name: fit_max(layer.weight, self.bits)
            for layer in weight_layers(model, images[:2])
        }
