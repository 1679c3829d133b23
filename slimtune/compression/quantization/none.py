"""No quantization."""

from torch import Tensor, nn

from slimtune.compression.quantization.protocol import QUANTIZATION, StoredWeight
from slimtune.compression.settings import settings


@QUANTIZATION.register("none")
@settings
class NoQuantization:
    """Weights and activations stay in float32."""

    reference = "IEEE 754 binary32"

    @property
    def bits(self) -> int:
        """32."""
        return 32

    @property
    def activation_bits(self) -> int:
        """32."""
        return 32

    @property
    def calibration_images(self) -> int:
        """0."""
        return 0

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return ``model`` itself."""
        return model

    def weight(self, name: str, weight: Tensor) -> StoredWeight | None:
        """Return None: every weight is stored in float32."""
        return None
