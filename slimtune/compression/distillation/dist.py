"""Distillation from a stronger teacher: correlations instead of divergences."""

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from slimtune.compression.distillation.correlation import unit_rows
from slimtune.compression.distillation.protocol import DISTILLATION, Batch, Distiller
from slimtune.compression.settings import settings


@DISTILLATION.register("dist")
@settings
class DistDistillation(Distiller):
    """Cross entropy plus a penalty for low correlation with the teacher's probabilities.

    With p = softmax(logits / T) and r Pearson's correlation, ``loss = hard + T^2 * (b * (1 - mean
    over images of r(p_s, p_t)) + c * (1 - mean over classes of r(p_s, p_t)))``. The first term
    compares the classes of each image, the second the images of each class. Rows that are
    constant in a batch count as uncorrelated. The second term needs batches much larger than 2.

    Huang, You, Wang, Qian, Xu, "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022,
    arXiv:2205.10536. The weights include the factor 2 of the authors' CIFAR settings.
    """

    inter_weight: Annotated[
        float, Field(ge=0, le=100, description="b, weight of the relations within an image")
    ] = 2.0
    intra_weight: Annotated[
        float, Field(ge=0, le=100, description="c, weight of the relations within a class")
    ] = 2.0
    temperature: Annotated[
        float, Field(gt=0, le=100, description="T, which softens both distributions")
    ] = 4.0

    reference = "Huang et al., NeurIPS 2022, arXiv:2205.10536"

    @property
    def needs_teacher(self) -> bool:
        """True, unless both weights are 0."""
        return self.inter_weight > 0 or self.intra_weight > 0

    def loss(self, batch: Batch) -> Tensor:
        """Return the mixed loss, a scalar."""
        if batch.teacher is None:
            return batch.hard
        ours = F.softmax(batch.student / self.temperature, dim=1)
        theirs = F.softmax(batch.teacher / self.temperature, dim=1)
        inter, intra = _unlikeness(ours, theirs), _unlikeness(ours.T, theirs.T)
        soft = self.inter_weight * inter + self.intra_weight * intra
        return batch.hard + self.temperature**2 * soft


def _unlikeness(student: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 minus the mean correlation of equal rows."""
    return 1 - (unit_rows(student) * unit_rows(teacher)).sum(dim=1).mean()
