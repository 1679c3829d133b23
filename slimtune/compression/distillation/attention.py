"""Attention transfer: the student learns where its teacher looks."""

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from slimtune.compression.distillation.base import BaseDistillation
from slimtune.compression.distillation.protocol import DISTILLATION, Batch
from slimtune.compression.settings import settings


@DISTILLATION.register("attention")
@settings
class AttentionTransfer(BaseDistillation):
    """The loss on the labels plus the distance of the attention maps of each level.

    ``Q = vec(mean over channels of F^2)``, divided by its length, of each level's output F, and
    ``loss = hard + w * sum over levels of mean((Q_s - Q_t)^2)``, the mean over images and
    positions, as in the authors' code. The method compares neither channels nor scales, so it
    fits any pruned and any quantized student. With ``alpha`` above 0, the loss of ``base`` takes
    the place of ``hard``.

    Zagoruyko, Komodakis, "Paying More Attention to Attention: Improving the Performance of
    Convolutional Neural Networks via Attention Transfer", ICLR 2017, arXiv:1612.03928.
    """

    alpha: Annotated[
        float, Field(ge=0, le=1, description="weight of additional distillation of logits, 0..1")
    ] = 0.0
    attention_weight: Annotated[
        float, Field(ge=0, le=100000, description="w, weight of the attention term")
    ] = 1000.0

    features = "maps"
    reference = "Zagoruyko & Komodakis, ICLR 2017, arXiv:1612.03928"

    @property
    def needs_teacher(self) -> bool:
        """True, unless both weights are 0."""
        return self.alpha > 0 or self.attention_weight > 0

    def loss(self, batch: Batch) -> Tensor:
        """Return the mixed loss, a scalar."""
        loss = BaseDistillation.loss(self, batch)
        for level in batch.levels:
            ours, theirs = attention_map(level.student_out), attention_map(level.teacher_out)
            loss = loss + self.attention_weight * F.mse_loss(ours, theirs)
        return loss


def attention_map(maps: Tensor) -> Tensor:
    """Return where the energy of each image lies, (n, height * width), of length 1.

    Args:
        maps: (n, channels, height, width). An image without any energy gives zeros.
    """
    return F.normalize(maps.square().mean(dim=1).flatten(1), dim=1)
