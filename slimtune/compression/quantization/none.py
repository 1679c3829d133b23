"""No quantization."""

from slimtune.compression.quantization.protocol import QUANTIZATION, Quantizer
from slimtune.compression.settings import settings


@QUANTIZATION.register("none")
@settings
class NoQuantization(Quantizer):
    """Weights and activations stay in float32."""

    reference = "IEEE 754 binary32"
