"""Structured LAMP: a channel's share of all channels that are at least as strong."""

import torch
from torch import Tensor

from slimtune.compression.pruning.protocol import PRUNING, ChannelGroup, ChannelPruning
from slimtune.compression.pruning.scoring import mean_over_producers
from slimtune.compression.settings import settings


@PRUNING.register("lamp")
@settings
class LAMP(ChannelPruning):
    """Score of channel u: ``s_u = n_u / sum of n_v over all v with n_v >= n_u``.

    n is a filter's squared length. Lee, Park, Mo, Ahn, Shin, "Layer-adaptive Sparsity for the
    Magnitude-based Pruning", ICLR 2021, arXiv:2010.07611, define the score for single weights;
    this is its analogue for channels. Equal lengths are ordered by index. The scale of a
    layer cancels, and the strongest channel of every group scores 1, so the scope global ranks
    the scores as they are and chooses how much each layer can lose.
    """

    reference = "Lee et al., ICLR 2021, arXiv:2010.07611 (structured)"
    comparable = True

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return the shares, (channels,), in 0..1."""
        return lamp_shares(mean_over_producers(group, lambda rows: rows.square().sum(dim=1)))


def lamp_shares(norms: Tensor) -> Tensor:
    """Return each of the non-negative ``norms``, (n,), over the sum of those not below it."""
    order = torch.argsort(norms, stable=True)
    ascending = norms[order].double()
    not_below = ascending.flip(0).cumsum(0).flip(0)
    shares = torch.where(not_below > 0, ascending / not_below, 0.0)
    return torch.empty_like(norms).index_copy_(0, order, shares.to(norms.dtype))
