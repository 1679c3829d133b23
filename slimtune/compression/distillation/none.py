"""No distillation."""

from torch import Tensor

from slimtune.compression.distillation.protocol import DISTILLATION
from slimtune.compression.settings import settings


@DISTILLATION.register("none")
@settings
class NoDistillation:
    """The loss on the labels alone; no teacher is run."""

    reference = "plain fine-tuning"

    @property
    def needs_teacher(self) -> bool:
        """False."""
        return False

    def loss(self, hard: Tensor, student: Tensor, teacher: Tensor | None) -> Tensor:
        """Return ``hard``."""
        return hard
