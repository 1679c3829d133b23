"""No distillation."""

from torch import Tensor

from slimtune.compression.distillation.protocol import DISTILLATION, Batch, Distiller
from slimtune.compression.settings import settings


@DISTILLATION.register("none")
@settings
class NoDistillation(Distiller):
    """The loss on the labels alone; no teacher is run."""

    reference = "plain fine-tuning"

    @property
    def needs_teacher(self) -> bool:
        """False."""
        return False

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss on the labels."""
        return batch.hard
