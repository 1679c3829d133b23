"""L1-norm filter pruning."""

import torch
from torch import Tensor

from slimtune.compression.pruning.protocol import PRUNING, ChannelGroup, ChannelPruning
from slimtune.compression.pruning.scoring import mean_over_producers
from slimtune.compression.settings import settings


@PRUNING.register("l1")
@settings
class L1(ChannelPruning):
    """Score of filter i: the sum of its absolute weights, ``s_i = sum |F_i|``.

    Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017,
    arXiv:1608.08710. Where several layers share a group, each layer's scores are divided by
    their mean first, so that a wide layer does not outvote a narrow one.
    """

    reference = "Li et al., ICLR 2017, arXiv:1608.08710"

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return the filters' absolute sums, (channels,)."""
        return mean_over_producers(group, lambda filters: torch.sum(filters.abs(), dim=1))
