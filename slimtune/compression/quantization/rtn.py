"""Round to nearest: post-training quantization without correction."""

from torch import Tensor, nn

from slimtune.compression.network.layers import weight_layers
from slimtune.compression.quantization.protocol import (
    QUANTIZATION,
    Activations,
    Quantizer,
    StoredWeight,
)
from slimtune.compression.quantization.rounding.fit import round_layers
from slimtune.compression.quantization.rounding.layer_bits import (
    ActivationBits,
    Bits,
    CalibrationImages,
    FirstLastBits,
    Granularity,
    StageBits,
    layer_bits,
)
from slimtune.compression.settings import settings


@QUANTIZATION.register("rtn")
@settings
class RoundToNearest(Quantizer):
    """Each weight is rounded by itself to the nearest point of a symmetric uniform grid.

    ``w' = s * clip(round(w / s), -K, K)`` with ``K = 2^(bits-1) - 1`` and ``s = R / K``; R is the
    largest ``|w|`` of the output channel, or the mean of these over the layer's channels with
    granularity ``tensor``, which clips. It is what `gpfq` is compared with.

    Jacob, Kligys, Chen, Zhu, Tang, Howard, Adam, Kalenichenko, "Quantization and Training of
    Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018,
    arXiv:1712.05877; the radius of granularity ``tensor``: Zhang, Zhou, Saab, "Post-training
    Quantization for Neural Networks with Provable Guarantees", SIAM J. Math. Data Sci. 2023,
    arXiv:2201.11113.
    """

    bits: Bits = 4
    granularity: Granularity = "channel"
    first_last_bits: FirstLastBits = 8
    stage_bits: StageBits = ""
    activation_bits: ActivationBits = 8
    calibration_images: CalibrationImages = 512

    reference = "Jacob et al., CVPR 2018, arXiv:1712.05877"

    @property
    def activations(self) -> Activations:
        """``"static"`` with 8 activation bits, ``"float"`` with 32."""
        return "static" if self.activation_bits == 8 else "float"

    def weights(self, model: nn.Module, images: Tensor) -> dict[str, StoredWeight]:
        """Return the nearest integers of every convolution and linear layer."""
        layers = weight_layers(model, images[:2])
        bits = layer_bits(layers, self.bits, self.first_last_bits, self.stage_bits)
        return round_layers(layers, bits, self.granularity)
