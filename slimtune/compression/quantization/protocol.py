"""The protocol of quantizers: fake quantizers for training, integers for the exporter."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor, nn

from slimtune.registry import Registry

Activations = Literal["static", "dynamic", "float"]
FEW_IMAGES = 16
"""The fewest calibration images that settings allow; enough where values do not matter."""


@dataclass(frozen=True)
class StoredWeight:
    """A weight as the file holds it: ``weight = scale * integers``, out-channel by out-channel.

    The exporter stores n-bit integers where all fit into -2^(bits-1)..2^(bits-1)-1, and otherwise
    n-bit indices into a codebook of the distinct integers, of which there are 2^bits at most.

    Attributes:
        integers: int8, shaped like the weight, (out, in/groups, ...), in [-127, 127].
        scale: float32, (out,), never 0. Above 0 as a quantizer gives it; the exporter makes it
            negative where a batch norm's factor is negative and the integers have no mirror
            image in their bits.
        bits: how many bits one weight takes in the file, 2..8.
    """

    integers: np.ndarray
    scale: np.ndarray
    bits: int

    def dequantized(self) -> np.ndarray:
        """Return ``scale * integers`` in float32."""
        shape = (-1, *[1] * (self.integers.ndim - 1))
        return self.scale.reshape(shape) * self.integers.astype(np.float32)


class Quantizer:
    """Decides how weights and activations are stored and computed.

    Attributes:
        bits: of a weight in the file, 2..8; 16 or 32 for float. Single layers may differ.
        calibration_images: training images handed to `prepare` and `weights`, and that set the
            ranges of activations; 0 if none are needed.
        trains: whether `prepare` inserts fake quantizers that learn.
        epochs: of fine-tuning with the fake quantizers in place; 0 for post-training methods.
        lr: first learning rate of that fine-tuning.
    """

    bits: int = 32
    calibration_images: int = 0
    trains: bool = False
    epochs: int = 0
    lr: float = 0.01

    @property
    def activations(self) -> Activations:
        """How the file computes.

        ``"static"``: uint8 activations on grids that are fixed from calibration images;
        ``"dynamic"``: uint8 activations on a grid found at run time; ``"float"``.
        """
        return "float"

    def prepare(self, model: nn.Module, images: Tensor) -> nn.Module:
        """Return the network to train: with fake quantizers (see `layers.py`), or ``model``.

        Args:
            model: plain float network; may be changed in place.
            images: normalised calibration images, float32 (n, channels, height, width), on the
                model's device; to find first and last layer, levels and first ranges.
        """
        return model

    def weights(self, model: nn.Module, images: Tensor) -> dict[str, StoredWeight]:
        """Return the integers of every weight that is quantized, by its qualified name.

        Weights of exactly 0 have been pruned and must get integer 0. Weights that are left out
        stay float. Batch normalisations are not folded yet: folding multiplies the scale, never
        the integers.

        Args:
            model: what `prepare` returned, trained, in eval mode; not modified.
            images: as for `prepare`.
        """
        return {}

    def quick(self) -> "Quantizer":
        """Return a quantizer for previews: the same bits and kernels, with less fitting.

        Its file has about as many bytes and is as fast.
        """
        return self.with_few_images()

    def with_few_images(self) -> "Quantizer":
        """Return the same quantizer with the fewest calibration images that settings allow."""
        few = min(self.calibration_images, FEW_IMAGES)
        return dataclasses.replace(self, calibration_images=few) if few else self  # type: ignore[type-var]

    def ranges(self, model: nn.Module) -> Mapping[str, tuple[float, float]]:
        """Return the learned (low, high) range of the input of layers, by the weight's name.

        Layers that are left out get the range that calibration images show.
        """
        return {}


def method_of(quantizer: Quantizer) -> str:
    """Return the name of a quantizer, or of the one that it stands in for in a preview."""
    kinds = type(quantizer).__mro__
    return next(name for name in QUANTIZATION if QUANTIZATION[name] in kinds)


def ranges_from(quantizer: Quantizer) -> str:
    """Return what sets the ranges that activations are rounded on.

    ``"min/max of N training images"``, ``"learned, else min/max of N training images"``,
    ``"min/max at run time"``; empty where activations are float.
    """
    if quantizer.activations == "float":
        return ""
    if quantizer.activations == "dynamic":
        return "min/max at run time"
    seen = f"min/max of {quantizer.calibration_images} training images"
    return f"learned, else {seen}" if quantizer.trains else seen


QUANTIZATION: Registry[type[Quantizer]] = Registry("quantizer")
