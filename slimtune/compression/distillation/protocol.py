"""What a distillation method is: the loss of a student against its teacher."""

from typing import Protocol

from torch import Tensor

from slimtune.registry import Registry


class Distiller(Protocol):
    """Mixes the loss on the labels with what the teacher says of the same augmented images."""

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher must be run at all."""
        ...

    def loss(self, hard: Tensor, student: Tensor, teacher: Tensor | None) -> Tensor:
        """Return the scalar to minimise.

        Args:
            hard: scalar, the loss on the labels (cross entropy, mean over the batch).
            student: logits, (batch, classes).
            teacher: logits of the same images, (batch, classes), without gradient;
                None when `needs_teacher` is false.
        """
        ...


DISTILLATION: Registry[type[Distiller]] = Registry("distillation method")
