"""What a quantizer was asked for and the file does not have: weights that stayed float32."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slimtune.errors import TrialError

NEARLY_ALL = 0.9
"""Where more of the weights than this stay float32, the file is not what its name says."""

_FEW = 3
_TAKE_MOST = ("rtn", "int8_static", "int8_dynamic")


@dataclass(frozen=True)
class LeftOut:
    """Weights of the exported file that are float32 although it was to be quantized.

    Attributes:
        weights: how many numbers each has, by its qualified name.
        of: how many numbers all weights of the file have.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    of: int = 0

    @property
    def share(self) -> float:
        """The fraction of the file's weights that stayed float32, 0..1."""
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

    def checked(self, bits: int, method: str) -> "LeftOut":
        """Return what was left out, which is nothing where nothing was to be quantized.

        Args:
            bits: of the quantizer; 32 for none.
            method: its name.

        Raises:
            TrialError: nearly all weights stayed float32.
        """
        if bits == 32:
            return LeftOut()
        if self.share > NEARLY_ALL:
            way_out = "use float16"
            if method not in _TAKE_MOST:
                way_out = "use rtn or int8_static, which take more kinds of layers, or float16"
            raise TrialError(
                f"{method} must round most weights, but {self.share:.0%} of them are in layers "
                f"that stay float32 ({self.names}); {way_out}"
            )
        return self
