"""The conditions of a trial: everything but recipe and workload that its result depends on."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Conditions:
    """Conditions under which a recipe is carried out; the same ones give the same bits.

    Attributes:
        seed: of every random choice that ``prefix_seed`` does not cover, 0..2^31-1.
        threads: CPU threads that torch may use; another number gives other bits.
        device: where networks are trained: ``"cpu"`` or a torch device name.
        prefix_seed: of the stages up to the fine-tune, in place of ``seed``. It is the same for
            all trials of a run, so that trials that begin alike can share the beginning. None:
            ``seed``.
        precision: of the operands in training; all else is float32.
        views: augmentations of each image for which the teacher's logits are cached; 0: the
            teacher is run in every step.
    """

    seed: int
    threads: int = 1
    device: str = "cpu"
    prefix_seed: int | None = None
    precision: Precision = "float32"
    views: int = 0

    @property
    def shared_seed(self) -> int:
        """The seed of stages that trials may share: ``prefix_seed``, or ``seed`` without one."""
        return self.seed if self.prefix_seed is None else self.prefix_seed
