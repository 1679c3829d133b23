"""Filter pruning via the geometric median."""

import torch
from torch import Tensor

from slimtune.compression.pruning.protocol import PRUNING, ChannelGroup, ChannelPruning
from slimtune.compression.pruning.scoring import mean_over_producers
from slimtune.compression.settings import settings


@PRUNING.register("fpgm")
@settings
class FPGM(ChannelPruning):
    """Score of filter i: its distance to all others, ``g_i = sum_j ||F_i - F_j||_2``.

    He, Liu, Wang, Hu, Yang, "Filter Pruning via Geometric Median for Deep Convolutional Neural
    Networks Acceleration", CVPR 2019, arXiv:1811.00250. Filters are the raw signed weights of
    one layer; the smallest sum goes first, because that filter is the easiest to replace by the
    others, however large its weights are. Where several layers share a group, each layer's
    sums are divided by their mean first.
    """

    reference = "He et al., CVPR 2019, arXiv:1811.00250"

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return the filters' sums of distances, (channels,)."""
        return mean_over_producers(group, _distance_sums)


def _distance_sums(filters: Tensor) -> Tensor:
    # Through a matrix product the distance of near-equal filters drowns in rounding errors.
    return torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist").sum(dim=1)
