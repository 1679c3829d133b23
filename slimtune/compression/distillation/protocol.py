"""What a distillation method is: the loss of a student against its teacher."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from slimtune.registry import Registry


@dataclass(frozen=True)
class Level:
    """The input and the output of one resolution level, in both networks.

    The input of a level is the output of the level before it.

    Attributes:
        student_in: (n, c, h, w), the level's input.
        student_out: (n, c', h', w'), its output, after its last activation if that is a module.
        teacher_in: without gradient. Height and width are those of ``student_in``, except perhaps
            at the first level; channels too, if the method asks for ``"channels"``.
        teacher_out: without gradient. Height and width are those of ``student_out``; channels
            too, if the method asks for ``"channels"``.
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
        progress: the share of the fine-tune that is done, 0 at its first step and 1 at its end.
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
    """Computes a student's loss from the labels and from its teacher's outputs.

    Attributes:
        features: what `Batch.levels` must hold. ``"none"``: nothing. ``"maps"``: feature maps of
            equal height and width. ``"channels"``: of equal channels too; the teacher's are those
            that the student kept, or else the student gets a learned 1x1 convolution, which is
            never exported.
        mutual: whether the teacher is a peer that is trained too, by the same loss with the roles
            swapped.
        hard_labels: whether label smoothing must be off.
    """

    features: Literal["none", "maps", "channels"] = "none"
    mutual: bool = False
    hard_labels: bool = False

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss depends on the teacher."""
        return True

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar to minimise."""
        raise NotImplementedError


DISTILLATION: Registry[type[Distiller]] = Registry("distillation method")
