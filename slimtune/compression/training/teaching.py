"""Who teaches the students of a workload: its network itself, or what it said of each view."""

import functools

import numpy as np
from torch import Tensor, nn

from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.network.copies import copied
from slimtune.compression.training.lessons import Lessons, Recall, kept_views
from slimtune.compression.training.loop import network_logits
from slimtune.conditions import Conditions
from slimtune.workload.types import Workload


def teacher_of(workload: Workload, distiller: Distiller, device: str) -> nn.Module | None:
    """Return a copy of the workload's teacher, in eval mode; None if the method needs none."""
    if not distiller.needs_teacher:
        return None
    teacher = copied(workload.teacher or workload.baseline, workload.image_shape)
    if not distiller.mutual:  # a peer's frozen selections stay frozen
        teacher.requires_grad_(False)
    return teacher.to(device)


def lessons_of(workload: Workload, conditions: Conditions, recall: Recall) -> Lessons | None:
    """Return the lessons of the workload's teacher, or None if none are to be kept.

    Args:
        workload: gives images and teacher.
        conditions: say where the teacher computes, in which precision, and how many views are
            wanted, 0 for none; their shared seed is that of the views.
        recall: see `Lessons`.
    """
    views = kept_views(conditions.views, workload)
    if not views:
        return None

    @functools.cache
    def teacher() -> nn.Module:  # most often nobody has to ask
        network = copied(workload.teacher or workload.baseline, workload.image_shape)
        return network.to(conditions.device)

    def teach(images: np.ndarray) -> Tensor:
        return network_logits(teacher(), images, workload, precision=conditions.precision)

    return Lessons(workload, teach, views=views, seed=conditions.shared_seed, recall=recall)
