"""L2-norm filter pruning."""

import torch
from torch import Tensor

from slimtune.compression.pruning.protocol import PRUNING, ChannelGroup, ChannelPruning
from slimtune.compression.pruning.scoring import mean_over_producers
from slimtune.compression.settings import settings


@PRUNING.register("l2")
@settings
class L2(ChannelPruning):
    """Score of filter i: its Euclidean length, ``s_i = ||F_i||_2``.

    The variant that Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient
    ConvNets", ICLR 2017, arXiv:1608.08710, compare with their absolute sums: one large weight
    counts for more than many small ones. Where several layers share a group, each layer's
    scores are divided by their mean first.
    """

    reference = "Li et al., ICLR 2017, arXiv:1608.08710"

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return the filters' lengths, (channels,)."""
        return mean_over_producers(group, lambda filters: torch.linalg.norm(filters, dim=1))
