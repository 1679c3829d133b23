"""Weights that stay float32 in the file of a network that was to be quantized."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from slimtune.compression.quantization.protocol import Quantizer, method_of
from slimtune.errors import TrialError

NEARLY_ALL = 0.9
"""If more than this share of the weights stays float32, the recipe's name would be misleading."""

_FEW = 3


@dataclass(frozen=True)
class FloatWeights:
    """Weights of the exported file that are float32 although it was to be quantized.

    Attributes:
        weights: how many numbers each has, by its qualified name.
        of: how many numbers all weights of the file have.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    of: int = 0

    @property
    def share(self) -> float:
        """The fraction of the file's weights that stay float32, 0..1."""
        return sum(self.weights.values()) / self.of if self.of else 0.0

    @property
    def names(self) -> str:
        """The layers, the largest first, in a few words; empty if there are none."""
        largest = sorted(self.weights, key=lambda name: -self.weights[name])
        names = ", ".join(name.removesuffix(".weight") for name in largest[:_FEW])
        more = len(largest) - _FEW
        return f"{names} and {more} more" if more > 0 else names

    def described(self, pipeline: str) -> str:
        """Return the words for a pipeline, with the share if it is 1 % or more."""
        return f"{pipeline} ({self.share:.0%} float32)" if self.share >= 0.01 else pipeline

    def checked(self, quantizer: Quantizer, by_rounding: Collection[str]) -> "FloatWeights":
        """Return the weights that stayed float32; none if the quantizer quantizes nothing.

        Args:
            quantizer: the recipe's.
            by_rounding: names of the weights that rtn, int8_static and int8_dynamic round.

        Raises:
            TrialError: nearly all weights stayed float32.
        """
        if quantizer.bits == 32:
            return FloatWeights()
        if self.share > NEARLY_ALL:
            method = method_of(quantizer)
            raise TrialError(
                f"{method} must round most weights, but {self.share:.0%} of them are in layers "
                f"that stay float32 ({self.names}); {self._way_out(method, by_rounding)}"
            )
        return self

    def _way_out(self, method: str, by_rounding: Collection[str]) -> str:
        """Return the advice to use a quantizer that leaves fewer weights of this network float."""
        left = {name: size for name, size in self.weights.items() if name not in by_rounding}
        if FloatWeights(left, self.of).share <= NEARLY_ALL:
            return "use rtn or int8_static, which take more kinds of layers, or float16"
        return "use none" if method == "float16" else "use float16 or none"
