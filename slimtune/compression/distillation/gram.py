"""Flow of the solution procedure: Gram matrices between two layers."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from slimtune.compression.distillation.base import FeatureDistillation
from slimtune.compression.distillation.protocol import DISTILLATION, Level
from slimtune.compression.settings import settings


@DISTILLATION.register("gram")
@settings
class GramDistillation(FeatureDistillation):
    """Logit distillation plus the distance of the FSP matrices of each level.

    ``G_ij = sum over positions of A_i * B_j / (height * width)`` for what a level reads (A) and
    what it gives (B), per image; the larger of the two is max-pooled to the other's size.
    ``loss = base + w * mean over levels of mean((G_t - G_s)^2) / mean(G_t^2)``, the means over
    images and matrix entries, so that w depends neither on widths nor on the teacher's scale.
    Channels are made to agree as in ``fmse``. The
    matrix is between two layers; it is not the Gram matrix of one layer, as in style transfer.

    Yim, Joo, Bae, Kim, "A Gift from Knowledge Distillation: Fast Optimization, Network
    Minimization and Transfer Learning", CVPR 2017. The paper minimises the two terms one after
    the other; here they are added.
    """

    feature_weight: Annotated[
        float, Field(ge=0, le=100000, description="w, weight of the FSP term")
    ] = 10.0

    features = "channels"
    reference = "Yim et al., A Gift from Knowledge Distillation, CVPR 2017"

    def distance(self, level: Level) -> Tensor:
        """Return the FSP distance of one level, a scalar."""
        return flow_distance(level)


def flow_distance(level: Level) -> Tensor:
    """Return ``mean((G_t - G_s)^2) / mean(G_t^2)``, a scalar, over images and matrix entries."""
    ours = flow_matrix(level.student_in, level.student_out)
    theirs = flow_matrix(level.teacher_in, level.teacher_out)
    energy = theirs.square().mean()
    return F.mse_loss(ours, theirs) / energy.clamp(min=torch.finfo(energy.dtype).eps ** 2)


def flow_matrix(reads: Tensor, gives: Tensor) -> Tensor:
    """Return the FSP matrix of each image, (n, channels in, channels out).

    Args:
        reads: (n, channels in, height, width).
        gives: (n, channels out, height', width').
    """
    height = min(reads.shape[2], gives.shape[2])
    width = min(reads.shape[3], gives.shape[3])
    before, after = _pooled(reads, height, width), _pooled(gives, height, width)
    return before.flatten(2) @ after.flatten(2).transpose(1, 2) / (height * width)


def _pooled(maps: Tensor, height: int, width: int) -> Tensor:
    if maps.shape[2:] == (height, width):
        return maps
    return F.adaptive_max_pool2d(maps, (height, width))
