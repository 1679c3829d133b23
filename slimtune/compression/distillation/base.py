"""Hinton's logit distillation, and what methods with feature maps add to it."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from slimtune.compression.distillation.protocol import DISTILLATION, Batch, Distiller, Level
from slimtune.compression.settings import settings


@DISTILLATION.register("base")
@settings
class BaseDistillation(Distiller):
    """Cross entropy on the labels plus the teacher's softened probabilities.

    ``loss = alpha * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) * hard``,
    the divergence summed over classes and averaged over the batch. T^2 keeps the size of the
    gradient independent of T.

    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531. Here ``alpha`` weights the distillation term; some code
    lets it weight the other.
    """

    alpha: Annotated[
        float, Field(ge=0, le=1, description="weight of the distillation term, 0..1")
    ] = 0.9
    temperature: Annotated[
        float, Field(gt=0, le=100, description="T, which softens both distributions")
    ] = 4.0

    reference = "Hinton et al., 2015, arXiv:1503.02531"

    @property
    def needs_teacher(self) -> bool:
        """True, unless ``alpha`` is 0."""
        return self.alpha > 0

    def loss(self, batch: Batch) -> Tensor:
        """Return the mixed loss, a scalar."""
        if batch.teacher is None:
            return batch.hard
        soft = softened_divergence(batch.student, batch.teacher, self.temperature)
        return self.alpha * self.temperature**2 * soft + (1 - self.alpha) * batch.hard


@settings
class FeatureDistillation(BaseDistillation):
    """`BaseDistillation` plus the mean distance between the feature maps of both networks."""

    feature_weight: Annotated[float, Field(ge=0, description="weight of the feature term")] = 10.0

    @property
    def needs_teacher(self) -> bool:
        """True, unless both weights are 0."""
        return self.alpha > 0 or self.feature_weight > 0

    def distance(self, level: Level) -> Tensor:
        """Return how far the student is from the teacher at one level, a scalar."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Tensor:
        """Return the mixed loss, a scalar."""
        logits = super().loss(batch)
        if not batch.levels:
            return logits
        distances = [self.distance(level) for level in batch.levels]
        return logits + self.feature_weight * torch.stack(distances).mean()


def softened_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return ``KL(softmax(teacher / T) || softmax(student / T))``, mean over the batch.

    Args:
        student: logits, (n, classes).
        teacher: logits, (n, classes).
        temperature: T, above 0.
    """
    return F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
