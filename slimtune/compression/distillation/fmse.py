"""Feature MSE: level outputs of the student against the teacher's."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from slimtune.compression.distillation.base import FeatureDistillation
from slimtune.compression.distillation.protocol import DISTILLATION, Level
from slimtune.compression.settings import settings


@DISTILLATION.register("fmse")
@settings
class FeatureMse(FeatureDistillation):
    """Logit distillation plus the squared distance of the feature maps, level by level.

    ``loss = base + w * mean over levels of mean(((r(F_s) - F_t) / sigma)^2)`` with F the output of
    a level, and sigma the standard deviation of each channel of F_t in the batch, so that
    channels and levels of any scale weigh alike. For a pruned copy of the teacher, r is the
    identity and F_t holds the channels that the student kept. For any other student of another
    width, r is a learned 1x1 convolution.

    Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550; here in one
    training instead of two, as in usual benchmarks.
    """

    feature_weight: Annotated[
        float, Field(ge=0, le=1000, description="w, weight of the feature term")
    ] = 10.0

    features = "channels"
    reference = "Romero et al., FitNets, ICLR 2015, arXiv:1412.6550"

    def distance(self, level: Level) -> Tensor:
        """Return the FitNets distance of one level, a scalar."""
        return feature_distance(level.student_out, level.teacher_out)


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean of ``((student - teacher) / sigma)^2``, a scalar.

    sigma^2 counts as at least a hundredth of its mean over the channels. Otherwise a channel that
    hardly varies in the teacher would weigh more than all others together.

    Args:
        student: (n, channels, height, width).
        teacher: same shape.
    """
    variance = teacher.var(dim=(0, 2, 3), correction=0)
    floor = (variance.mean() / 100).clamp(min=torch.finfo(variance.dtype).eps ** 2)
    variance = variance.clamp(min=floor)
    return ((student - teacher).square().mean(dim=(0, 2, 3)) / variance).mean()
