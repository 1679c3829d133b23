"""Half precision."""

from slimtune.compression.quantization.protocol import QUANTIZATION, Quantizer
from slimtune.compression.settings import settings


@QUANTIZATION.register("float16")
@settings
class Float16(Quantizer):
    """Every weight is stored in IEEE 754 binary16 and computed in float32.

    ``w' = w (1 + e)``, ``|e| <= 2^-11``, for ``|w|`` between 2^-14 and 65504: half the bytes, the
    same speed. Nothing is quantized to integers, nothing is calibrated.

    IEEE Computer Society, "IEEE Standard for Floating-Point Arithmetic", IEEE 754-2008.
    """

    bits = 16
    reference = "IEEE 754-2008 binary16"
