"""Logit standardization: the student learns the teacher's z-scores, not its scale."""

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor

from slimtune.compression.distillation.base import softened_divergence
from slimtune.compression.distillation.correlation import unit_rows
from slimtune.compression.distillation.protocol import DISTILLATION, Batch, Distiller
from slimtune.compression.settings import settings


@DISTILLATION.register("logit_std")
@settings
class LogitStandardization(Distiller):
    """Logit distillation of each image's z-scores.

    ``z = (logits - mean) / std`` over the classes of each image (std with n - 1), and ``loss = c *
    hard + w * T^2 * KL(softmax(z_t / T) || softmax(z_s / T))``. The student may choose the
    scale of its logits, which helps with few bits. Logits that are all equal have z-score 0.

    Sun, Ren, Li, Wang, Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024,
    arXiv:2403.01427.
    """

    label_weight: Annotated[
        float, Field(ge=0, le=10, description="c, weight of the loss on the labels")
    ] = 0.1
    logit_weight: Annotated[
        float, Field(ge=0, le=100, description="w, weight of the distillation term")
    ] = 9.0
    temperature: Annotated[
        float, Field(gt=0, le=100, description="T, which softens both distributions")
    ] = 2.0

    reference = "Sun et al., CVPR 2024, arXiv:2403.01427"

    @property
    def needs_teacher(self) -> bool:
        """True, unless ``logit_weight`` is 0."""
        return self.logit_weight > 0

    def loss(self, batch: Batch) -> Tensor:
        """Return the mixed loss, a scalar."""
        if batch.teacher is None:
            return batch.hard
        soft = softened_divergence(
            z_scores(batch.student), z_scores(batch.teacher), self.temperature
        )
        return self.label_weight * batch.hard + (self.logit_weight * self.temperature**2) * soft


def z_scores(logits: Tensor) -> Tensor:
    """Return each row minus its mean, divided by its standard deviation.

    Args:
        logits: (n, classes).
    """
    return unit_rows(logits) * math.sqrt(logits.shape[1] - 1)
