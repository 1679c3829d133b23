"""The teacher of a workload's students: the network, or its cached logits."""

import functools

import numpy as np
from torch import Tensor, nn

from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.network.copies import copied
from slimtune.compression.training.cached_logits import CachedLogits, LogitCache, cached_views
from slimtune.compression.training.loop import network_logits
from slimtune.conditions import Conditions
from slimtune.workload.types import Workload


def teacher_of(workload: Workload, distiller: Distiller, device: str) -> nn.Module | None:
    """Return a copy of the workload's teacher, in eval mode; None if the method needs none."""
    if not distiller.needs_teacher:
        return None
    teacher = copied(workload.teacher or workload.baseline, workload.image_shape)
    if not distiller.mutual:  # a peer is trained, but for what was frozen before
        teacher.requires_grad_(False)
    return teacher.to(device)


def cached_logits_of(
    workload: Workload, conditions: Conditions, cache: LogitCache
) -> CachedLogits | None:
    """Return the cached logits of the workload's teacher, or None if none are to be cached.

    Args:
        workload: gives images and teacher.
        conditions: the teacher's device and precision, and the number of views, 0 for none; the
            shared seed is that of the views.
        cache: see `CachedLogits`.
    """
    views = cached_views(conditions.views, workload)
    if not views:
        return None

    # Copied at the first use: the cache most often holds all logits.
    @functools.cache
    def teacher() -> nn.Module:
        network = copied(workload.teacher or workload.baseline, workload.image_shape)
        return network.to(conditions.device)

    def logits(images: np.ndarray) -> Tensor:
        return network_logits(teacher(), images, workload, precision=conditions.precision)

    return CachedLogits(workload, logits, views=views, seed=conditions.shared_seed, cache=cache)
