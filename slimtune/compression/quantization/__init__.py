"""The catalogue of quantizers: one import a method."""

from slimtune.compression.quantization.apot import Apot as Apot
from slimtune.compression.quantization.dorefa import DoReFa as DoReFa
from slimtune.compression.quantization.float16 import Float16 as Float16
from slimtune.compression.quantization.gpfq import Gpfq as Gpfq
from slimtune.compression.quantization.int8_dynamic import Int8Dynamic as Int8Dynamic
from slimtune.compression.quantization.int8_static import Int8Static as Int8Static
from slimtune.compression.quantization.lsq import Lsq as Lsq
from slimtune.compression.quantization.none import NoQuantization as NoQuantization
from slimtune.compression.quantization.pact import Pact as Pact
from slimtune.compression.quantization.protocol import QUANTIZATION as QUANTIZATION
from slimtune.compression.quantization.rtn import RoundToNearest as RoundToNearest
