"""Define a quantizer of your own, search with it, and export the result.

    python examples/add_a_quantizer.py --out runs/power-of-two

The quantizer rounds weights to integers whose scales are powers of two, so that hardware without
a multiplier can rescale by shifting. It is registered from outside the package. The same file is
a pytest plugin: from the repository, this runs slimtune's conformance tests on the quantizer:

    PYTHONPATH=examples python -m pytest -p add_a_quantizer \
        tests/compression/test_conformance.py -k power_of_two
"""

import argparse

import numpy as np
from torch import Tensor, nn

import slimtune as st
from slimtune.compression.network.layers import weight_layers
from slimtune.compression.quantization.protocol import (
    QUANTIZATION,
    Activations,
    Quantizer,
    StoredWeight,
)
from slimtune.compression.quantization.rounding.fit import fit_scale, round_to_grid
from slimtune.compression.quantization.rounding.layer_bits import Bits, CalibrationImages
from slimtune.compression.settings import settings
from slimtune.spaces.domains import Choice
from slimtune.spaces.space import METHODS


@QUANTIZATION.register("power_of_two")
@settings
class PowerOfTwo(Quantizer):
    """Each weight goes to the nearest multiple of a power of two.

    ``w' = s * clip(round(w / s), -K, K)`` with ``K = 2^(bits-1) - 1`` and
    ``s = 2^ceil(log2(R / K))``, R the largest ``|w|`` of the output channel: the smallest power of
    two that clips nothing. The first and the last layer have 8 bits.

    Jain, Gural, Wu, Dick, "Trained Quantization Thresholds for Accurate and Efficient Fixed-Point
    Inference of Deep Neural Networks", MLSys 2020, arXiv:1903.08066, train such scales; here
    they follow from the weights.
    """

    bits: Bits = 8
    calibration_images: CalibrationImages = 512

    reference = "after Jain et al., MLSys 2020, arXiv:1903.08066"

    @property
    def activations(self) -> Activations:
        """``"static"``."""
        return "static"

    def weights(self, model: nn.Module, images: Tensor) -> dict[str, StoredWeight]:
        """Return the nearest integers of every convolution and linear layer."""
        layers = weight_layers(model, images[:2])
        stored = {}
        for layer in layers:
            bits = 8 if layer in (layers[0], layers[-1]) else self.bits
            scale = fit_scale(layer.weight, bits, "channel")
            power = np.exp2(np.ceil(np.log2(scale))).astype(np.float32)
            stored[layer.weight_name] = round_to_grid(layer.weight, power, bits)
        return stored


# Its row in the search space: what a search varies of it.
METHODS["quantize"]["power_of_two"] = {"bits": Choice((8, 6, 4))}


def main() -> None:
    """Search on digits with this quantizer beside slimtune's own, and export the knee."""
    parser = argparse.ArgumentParser(description="search with a quantizer of one's own")
    parser.add_argument("--out", default="runs/power-of-two", help="new folder of the run")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=20, help="of training the baseline")
    options = parser.parse_args()
    run = st.search(
        model="resnet8x2",
        data="digits",
        out=options.out,
        trials=options.trials,
        baseline={"epochs": options.epochs, "batch_size": 64},
        space={
            "prune": {"method": ["none", "group_norm"]},
            "quantize": {"method": ["power_of_two", "int8_static"]},
            "distill": {"method": ["none", "base"]},
            "train": {"batch_size": 64},
        },
        executor="inline",  # Ray's workers import slimtune, and not this file
    )
    print(run.front()[["trial", "accuracy", "size_bytes", "latency_ms", "pipeline"]].to_string())
    print(run.pick("knee").export(f"{options.out}-knee"))


if __name__ == "__main__":
    main()
