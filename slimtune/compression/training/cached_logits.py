"""A teacher's logits of a few views of each training image, computed once for many students.

A *view* is one augmentation of every training image: a crop and a side for each, drawn once.
Epoch e of a student's training uses view e, counted over all stages; after the last view comes
the first again. A student that trains for no more epochs than there are views sees a new random
augmentation of each image in each epoch, as without cached logits. One that trains longer sees
the first views again. The logits of a view are computed when the first student needs them. Shen,
Xing, "A Fast Knowledge Distillation Framework for Visual Recognition", ECCV 2022,
arXiv:2112.01528, cache a teacher's logits likewise.
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
"""Bytes that the logits of all views may take in memory; large data gets fewer views."""
_AT_A_TIME = 500

LogitCache = Callable[[int, Callable[[], Tensor]], Tensor]
"""Return a view's logits, by its number: from the cache, or computed by the second argument."""


def without_cache(_view: int, compute: Callable[[], Tensor]) -> Tensor:
    """Compute the logits: the default."""
    return compute()


@dataclass(frozen=True)
class View:
    """One augmentation of every training image.

    Attributes:
        changes: of each image.
        logits: the teacher's, float16, (n, classes), on the CPU.
    """

    changes: Changes
    logits: Tensor


class CachedLogits:
    """The views of a workload's training images, and a teacher's logits of them.

    Args:
        workload: gives images and augmentation.
        teacher_logits: returns the teacher's logits, (n, classes), of uint8 images.
        views: how many there are, from `cached_views`.
        seed: of the augmentations; students that share logits have the same.
        cache: returns a view's logits; computes and stores those that it does not hold.
    """

    def __init__(
        self,
        workload: Workload,
        teacher_logits: Callable[[np.ndarray], Tensor],
        *,
        views: int,
        seed: int,
        cache: LogitCache = without_cache,
    ) -> None:
        self._workload = workload
        self._teacher_logits = teacher_logits
        self._views = views
        self._seed = seed
        self._recall = cache
        self._logits: dict[int, Tensor] = {}

    def view(self, epoch: int) -> View:
        """Return the view of an epoch, counted from 0 over all stages."""
        number = epoch % self._views
        changes = self._changes(number)
        if number not in self._logits:
            self._logits[number] = self._recall(number, lambda: self._compute(changes))
        return View(changes, self._logits[number])

    def _changes(self, number: int) -> Changes:
        generator = stream(self._seed, f"view/{number}")
        workload = self._workload
        return draw_changes(len(workload.train), workload.augmentation, generator)

    def _compute(self, changes: Changes) -> Tensor:
        """Return the logits of all images, in their order: always the same, bit for bit."""
        images, augmentation = self._workload.train.images, self._workload.augmentation
        parts = []
        for start in range(0, len(images), _AT_A_TIME):
            chosen = torch.arange(start, min(start + _AT_A_TIME, len(images)))
            pixels = torch.from_numpy(np.array(images[start : start + _AT_A_TIME]))
            augmented = change(pixels, changes.take(chosen), augmentation)
            parts.append(self._teacher_logits(augmented.numpy()).half())
        return torch.cat(parts)


def cached_views(wanted: int, workload: Workload) -> int:
    """Return for how many views logits are cached: `ROOM` limits them, 1 without augmentation.

    Args:
        wanted: at most so many; 0 for none.
        workload: its training images and classes decide the size of the logits.
    """
    augmentation = workload.augmentation
    if not augmentation.padding and not augmentation.flip:
        wanted = min(wanted, 1)
    return min(wanted, ROOM // (2 * len(workload.train) * len(workload.classes)))


def logits_suffice(distiller: Distiller, settings: Train) -> bool:
    """Return whether a training needs only the teacher's logits of single images.

    Methods that compare feature maps, or train the teacher too, need it in each step. Mixed
    images never occur twice.
    """
    logits_only = distiller.features == "none" and not distiller.mutual
    return distiller.needs_teacher and logits_only and settings.mixup == 0
