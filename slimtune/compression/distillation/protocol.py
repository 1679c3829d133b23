"""What a distillation method is: the loss of a student against its teacher."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from slimtune.registry import Registry


@dataclass(frozen=True)
class Level:
    """What one resolution level of both networks reads and gives.

    A level reads what the level before it gave.

    Attributes:
        student_in: (n, c, h, w), what the level reads.
        student_out: (n, c', h', w'), what it gives, after its last activation if that is a module.
        teacher_in: without gradient; same height and width but perhaps for the first level; same
            channels, where the method asks for ``"channels"``.
        teacher_out: without gradient; same height and width as ``student_out``, and channels.
    """

    student_in: Tensor
    student_out: Tensor
    teacher_in: Tensor
    teacher_out: Tensor


@dataclass(frozen=True)
class Batch:
    """One training batch as both networks see it: the same augmented, perhaps mixed, images.

    Attributes:
        hard: scalar, the loss on the labels (cross entropy, mean over the batch).
        student: logits, (n, classes).
        teacher: logits, (n, classes), without gradient; None when no teacher is needed.
        labels: int64, (n,).
        mixed_labels: int64, (n,): labels of the images that were mixed in.
        share: weight of ``labels`` against ``mixed_labels``, in [0, 1]; 1 without mixup.
        levels: feature maps, early to late; empty unless the method asks for them.
        progress: how far the fine-tuning is, 0 at its first step and 1 at its end.
    """

    hard: Tensor
    student: Tensor
    teacher: Tensor | None
    labels: Tensor
    mixed_labels: Tensor
    share: float = 1.0
    levels: tuple[Level, ...] = ()
    progress: float = 0.0


class Distiller:
    """Mixes the loss on the labels with what the teacher says of the same augmented images.

    Attributes:
        features: what `Batch.levels` must hold: ``"none"``; ``"maps"``, where only heights and
            widths agree; ``"channels"``, where channels agree too, by teacher channels selected
            with the student's keep list or else by a learned 1x1 convolution on the student that
            never ships.
        mutual: whether the teacher is a peer that is trained along, by this same loss with the
            roles swapped.
        hard_labels: whether label smoothing must be off.
    """

    features: Literal["none", "maps", "channels"] = "none"
    mutual: bool = False
    hard_labels: bool = False

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher must be run at all."""
        return True

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar to minimise."""
        raise NotImplementedError


DISTILLATION: Registry[type[Distiller]] = Registry("distillation method")
