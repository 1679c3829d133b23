"""What a teacher says of a few views of each training image, asked once for many students.

A *view* is one augmentation of every training image: a crop and a side for each, drawn once.
Epoch e of a student's training sees view e, counted on from stage to stage and, after the last
view, from the first again. So a student that trains for no more epochs than there are views sees
a new random augmentation of each image in each epoch, as without lessons; one that trains longer
sees the first ones again. The teacher is asked about a view when the first student comes to it,
and never about one that none comes to. Shen, Xing, "A Fast Knowledge Distillation Framework for
Visual Recognition", ECCV 2022, arXiv:2112.01528, keep a teacher's answers likewise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.stages import Train
from slimtune.compression.streams import stream
from slimtune.workload.augment import Changes, change, draw_changes
from slimtune.workload.types import Workload

ROOM = 128 * 2**20
"""Bytes that the answers to all views may take in memory; of large data, fewer are kept."""
_AT_A_TIME = 500

Recall = Callable[[int, Callable[[], Tensor]], Tensor]
"""Return the answers to a view, by its number: known from elsewhere, or by asking."""


def ask_again(_view: int, ask: Callable[[], Tensor]) -> Tensor:
    """Know no answers from elsewhere: the default."""
    return ask()


@dataclass(frozen=True)
class View:
    """One augmentation of every training image.

    Attributes:
        changes: of each image.
        logits: the teacher's, float16, (n, classes), on the CPU.
    """

    changes: Changes
    logits: Tensor


class Lessons:
    """The views of a workload's training images, and what a teacher says of them.

    Args:
        workload: gives images and augmentation.
        teach: returns the teacher's logits, (n, classes), of uint8 images.
        views: how many there are, from `kept_views`.
        seed: of the augmentations; the same for all who share answers.
        recall: knows answers, and is told those that it did not know.
    """

    def __init__(
        self,
        workload: Workload,
        teach: Callable[[np.ndarray], Tensor],
        *,
        views: int,
        seed: int,
        recall: Recall = ask_again,
    ) -> None:
        self._workload = workload
        self._teach = teach
        self._views = views
        self._seed = seed
        self._recall = recall
        self._logits: dict[int, Tensor] = {}

    def view(self, epoch: int) -> View:
        """Return what a student sees and hears in an epoch, counted from 0 over all stages."""
        number = epoch % self._views
        changes = self._changes(number)
        if number not in self._logits:
            self._logits[number] = self._recall(number, lambda: self._ask(changes))
        return View(changes, self._logits[number])

    def _changes(self, number: int) -> Changes:
        generator = stream(self._seed, f"view/{number}")
        workload = self._workload
        return draw_changes(len(workload.train), workload.augmentation, generator)

    def _ask(self, changes: Changes) -> Tensor:
        """Ask about all images in their order, so that the answers are the same bit for bit."""
        images, augmentation = self._workload.train.images, self._workload.augmentation
        parts = []
        for start in range(0, len(images), _AT_A_TIME):
            chosen = torch.arange(start, min(start + _AT_A_TIME, len(images)))
            pixels = torch.from_numpy(np.array(images[start : start + _AT_A_TIME]))
            seen = change(pixels, changes.take(chosen), augmentation)
            parts.append(self._teach(seen.numpy()).half())
        return torch.cat(parts)


def kept_views(wanted: int, workload: Workload) -> int:
    """Return how many views are worth keeping: one if nothing is random, and what has room.

    Args:
        wanted: at most so many; 0 for none.
        workload: whose training images and classes decide the size of the answers.
    """
    augmentation = workload.augmentation
    if not augmentation.padding and not augmentation.flip:
        wanted = min(wanted, 1)
    return min(wanted, ROOM // (2 * len(workload.train) * len(workload.classes)))


def can_be_kept(distiller: Distiller, settings: Train) -> bool:
    """Return whether a teacher's answers to single images are all that a training asks for.

    Methods that look at feature maps, or train the teacher along, need it in each step; and
    mixed images are never seen twice.
    """
    logits_only = distiller.features == "none" and not distiller.mutual
    return distiller.needs_teacher and logits_only and settings.mixup == 0
