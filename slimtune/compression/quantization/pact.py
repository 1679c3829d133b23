"""Parameterized clipping activation."""

from slimtune.compression.quantization.dorefa import TanhWeights
from slimtune.compression.quantization.fake_quantizers.clipping import ClippedInput, uniform_levels
from slimtune.compression.quantization.fake_quantizers.layers import InputQuantizer
from slimtune.compression.quantization.fake_quantizers.learned import InputStatistics
from slimtune.compression.quantization.protocol import QUANTIZATION
from slimtune.compression.settings import settings


@QUANTIZATION.register("pact")
@settings
class Pact(TanhWeights):
    """Inputs clipped at a trained limit: ``y = clip(x, 0, a)``, rounded to 2^k - 1 steps.

    The gradient of y to the limit a is 1 where x >= a and 0 elsewhere. The first limit is the
    99.9th percentile over the calibration images; inputs with a sign are clipped to [-a, a].
    The paper also decays a, which only matters where it starts too high.

    Weights are those of `dorefa`, as in the paper. The first and the last layer, and layers of
    8 bits, have symmetric weights with one scale ``max|w| / (2^(b-1) - 1)`` for each output
    channel.

    Choi, Wang, Venkataramani, Chuang, Srinivasan, Gopalakrishnan, "PACT: Parameterized Clipping
    Activation for Quantized Neural Networks", 2018, arXiv:1805.06085.
    """

    reference = "Choi et al., 2018, arXiv:1805.06085"

    def input_quantizer(self, statistics: InputStatistics, bits: int) -> InputQuantizer:
        """Return a clip that is trained, at first at the 99.9th percentile."""
        return ClippedInput(
            statistics.limit, uniform_levels(bits, statistics.signed), rounds=False
        )
