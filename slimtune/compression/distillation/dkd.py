"""Decoupled knowledge distillation."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from slimtune.compression.distillation.protocol import DISTILLATION, Batch, Distiller
from slimtune.compression.settings import settings


@DISTILLATION.register("dkd")
@settings
class DecoupledDistillation(Distiller):
    """Logit distillation, split into a term for the target class and one for all others.

    With p_y the probability of the target at temperature T and q the softmax over the other
    classes alone: ``target = KL((p_y, 1 - p_y)_t || (p_y, 1 - p_y)_s)``, ``rest = KL(q_t ||
    q_s)`` and ``loss = hard + ramp * T^2 * (a * target + b * rest)``. With ``a = 1``
    and ``b = 1 - p_y`` of the teacher this is Hinton's divergence, which ignores the other
    classes where the teacher is sure. ramp rises linearly to 1 over the first ``warm_up`` of the
    fine-tune. For mixed images, the two terms are averaged over both labels by their shares.

    Zhao, Cui, Song, Qiu, Liang, "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679.
    """

    target_weight: Annotated[
        float, Field(ge=0, le=100, description="a, weight of the term of the target class")
    ] = 1.0
    rest_weight: Annotated[
        float, Field(ge=0, le=100, description="b, weight of the term of the other classes")
    ] = 2.0
    temperature: Annotated[
        float, Field(gt=0, le=100, description="T, which softens both distributions")
    ] = 4.0
    warm_up: Annotated[
        float,
        Field(ge=0, le=1, description="share of the fine-tune in which both weights grow from 0"),
    ] = 0.1

    hard_labels = True
    reference = "Zhao et al., CVPR 2022, arXiv:2203.08679"

    @property
    def needs_teacher(self) -> bool:
        """True, unless both weights are 0."""
        return self.target_weight > 0 or self.rest_weight > 0

    def loss(self, batch: Batch) -> Tensor:
        """Return the mixed loss, a scalar."""
        if batch.teacher is None:
            return batch.hard
        soft = self._decoupled(batch.student, batch.teacher, batch.labels)
        if batch.share < 1:
            other = self._decoupled(batch.student, batch.teacher, batch.mixed_labels)
            soft = batch.share * soft + (1 - batch.share) * other
        ramp = min(batch.progress / self.warm_up, 1.0) if self.warm_up > 0 else 1.0
        return batch.hard + ramp * self.temperature**2 * soft

    def _decoupled(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        target, rest = decoupled_divergences(
            student / self.temperature, teacher / self.temperature, labels
        )
        return self.target_weight * target + self.rest_weight * rest


def decoupled_divergences(
    student: Tensor, teacher: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the divergence of target against rest, and within the rest; means over the batch.

    Args:
        student: logits, (n, classes), divided by the temperature.
        teacher: logits, (n, classes), likewise.
        labels: int64, (n,).
    """
    ours, theirs = _split(student, labels), _split(teacher, labels)
    target, rest = (
        F.kl_div(s, t, reduction="batchmean", log_target=True)
        for s, t in zip(ours, theirs, strict=True)
    )
    return target, rest


def _split(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return log (p_target, 1 - p_target), (n, 2), and log q of the other classes."""
    classes = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = classes + (classes >= labels[:, None])  # all but the label, without a search
    target, rest = logits.gather(1, labels[:, None]), logits.gather(1, others)
    either = torch.cat([target, rest.logsumexp(dim=1, keepdim=True)], dim=1)
    return F.log_softmax(either, dim=1), F.log_softmax(rest, dim=1)
