"""Who teaches the students of a workload: its network itself, or what it said of each view."""

import functools

import numpy as np
from torch import Tensor, nn

from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.network.copies import copied
from slimtune.compression.training.lessons import Lessons, Recall, kept_views
from slimtune.compression.training.loop import network_logits
from slimtune.compression.training.precision import Precision
from slimtune.workload.types import Workload


def teacher_of(workload: Workload, distiller: Distiller, device: str) -> nn.Module | None:
    """Return a copy of the workload's teacher, in eval mode; None if the method needs none."""
    if not distiller.needs_teacher:
        return None
    teacher = copied(workload.teacher or workload.baseline, workload.image_shape)
    if not distiller.mutual:  # a peer's frozen selections stay frozen
        teacher.requires_grad_(False)
    return teacher.to(device)


def lessons_of(
    workload: Workload,
    precision: Precision,
    device: str,
    views: int,
    recall: Recall,
    seed: int,
) -> Lessons | None:
    """Return the lessons of the workload's teacher, or None if none are to be kept.

    Args:
        workload: gives images and teacher.
        precision: that the teacher computes in.
        device: that it computes on.
        views: how many are wanted; 0 for none.
        recall: see `Lessons`.
        seed: of the views.
    """
    views = kept_views(views, workload)
    if not views:
        return None

    @functools.cache
    def teacher() -> nn.Module:  # most often nobody has to ask
        return copied(workload.teacher or workload.baseline, workload.image_shape).to(device)

    def teach(images: np.ndarray) -> Tensor:
        return network_logits(teacher(), images, workload, precision=precision)

    return Lessons(workload, teach, views=views, seed=seed, recall=recall)
