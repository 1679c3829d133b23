"""The conditions of a trial: beside recipe and workload, all that its result depends on."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Conditions:
    """Under which one recipe is carried out; the same conditions give the same bits.

    Attributes:
        seed: of every random choice, 0..2^31-1, but for those of ``prefix_seed``.
        threads: CPU threads torch may use; another number gives other bits.
        device: where networks are trained: ``"cpu"`` or a torch device name.
        prefix_seed: of the stages up to the fine-tune instead of ``seed``; the same for all
            trials of a run, so that those that begin alike can share the beginning. None:
            ``seed``.
        precision: in which networks are trained; all else is float32.
        views: augmentations of each image that the teacher is asked about; 0: it is asked in
            every step.
    """

    seed: int
    threads: int = 1
    device: str = "cpu"
    prefix_seed: int | None = None
    precision: Precision = "float32"
    views: int = 0

    @property
    def shared_seed(self) -> int:
        """The seed of what trials may share: ``prefix_seed``, or ``seed`` without one."""
        return self.seed if self.prefix_seed is None else self.prefix_seed
