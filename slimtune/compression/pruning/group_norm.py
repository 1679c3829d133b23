"""Group norm: channels by all parameters that are removed with them."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from slimtune.compression.pruning.group_parameters import GroupParameter, filters, readers, scales
from slimtune.compression.pruning.protocol import PRUNING, ChannelGroup, ChannelPruning
from slimtune.compression.settings import MOST_EPOCHS, settings


@PRUNING.register("group_norm")
@settings
class GroupNorm(ChannelPruning):
    """Score of channel k: ``I_k = mean over parameters m of ||w_m[k]||_2^2``.

    Fang, Ma, Song, Mi, Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023,
    arXiv:2301.12900. The parameters are the filters that make the channel, the scales of its
    batch norms and the weights that read it. To rank several groups together, each group's scores
    are divided by their mean.

    Sparse training (``sparsity_epochs`` above 0) adds ``sparsity * g_k * w`` to each parameter's
    gradient, with ``g_k = 2^(4 (I_max - I_k) / (I_max - I_min))`` from 1 for the strongest
    channel to 16 for the weakest, and 1 for all where they are equal.
    """

    reference = "Fang et al., CVPR 2023, arXiv:2301.12900"

    sparsity: Annotated[
        float, Field(ge=0, le=0.1, description="weight of the penalty in sparse training")
    ] = 5e-4
    sparsity_epochs: Annotated[
        int,
        Field(
            ge=0, le=MOST_EPOCHS, description="epochs of sparse training before pruning; 0: none"
        ),
    ] = 0

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return the mean squared norms, (channels,)."""
        return _importance(_parameters(group))

    @torch.no_grad()
    def regularize(self, groups: Sequence[ChannelGroup]) -> None:
        """Add ``sparsity * g_k * w`` to the gradient of every parameter."""
        for group in groups:
            parameters = _parameters(group)
            factors = self.sparsity * _strengths(_importance(parameters))
            for parameter in parameters:
                weight = parameter.tensor
                if weight.grad is not None:
                    weight.grad += parameter.spread(factors.to(weight)) * weight


def _parameters(group: ChannelGroup) -> list[GroupParameter]:
    return [*filters(group), *scales(group), *readers(group)]


def _importance(parameters: Sequence[GroupParameter]) -> Tensor:
    sums = [parameter.rows(parameter.tensor).square().sum(dim=1) for parameter in parameters]
    return torch.stack(sums).mean(dim=0)


def _strengths(importance: Tensor) -> Tensor:
    """Return 2^(4 (max - I) / (max - min)), in 1..16; 1 where all are equal."""
    low, high = importance.min(), importance.max()
    return 2 ** (4 * (high - importance) / torch.where(high > low, high - low, 1))
