"""The catalogue of quantizers: one import a method."""

from slimtune.compression.quantization.int8_static import Int8Static as Int8Static
from slimtune.compression.quantization.none import NoQuantization as NoQuantization
from slimtune.compression.quantization.protocol import QUANTIZATION as QUANTIZATION
