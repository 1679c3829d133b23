"""What a quantizer is: fake quantizers for training, and integers for the exporter."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from slimtune.registry import Registry


@dataclass(frozen=True)
class StoredWeight:
    """A weight as the file holds it: ``weight = scale * integers``, out-channel by out-channel.

    Attributes:
        integers: int8, shaped like the weight, (out, in/groups, ...).
        scale: float32, (out,), all above 0.
        bits: how many bits one integer takes in the file, 2..8.
    """

    integers: np.ndarray
    scale: np.ndarray
    bits: int


class Quantizer(Protocol):
    """Decides how weights and activations are stored and computed."""

    @property
    def bits(self) -> int:
        """Bits of one weight in the file; 32 for float."""
        ...

    @property
    def activation_bits(self) -> int:
        """Bits of one activation at run time; 32 for float."""
        ...

    @property
    def calibration_images(self) -> int:
        """Training images that set the ranges of activations; 0 if none are needed."""
        ...

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return the network to train: with fake quantizers, or ``model`` itself."""
        ...

    def weight(self, name: str, weight: Tensor) -> StoredWeight | None:
        """Return the integers of the weight called ``name``, or None to store it in float32.

        Args:
            name: qualified name of the parameter, such as ``"layer1.0.conv1.weight"``.
            weight: float32, (out, in/groups, kh, kw) or (out, in), before batch-norm folding:
                folding multiplies the scale, never the integers.
        """
        ...


QUANTIZATION: Registry[type[Quantizer]] = Registry("quantizer")
