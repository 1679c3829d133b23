"""Random pruning: the control that every other method must beat."""

import hashlib

import torch
from torch import Tensor

from slimtune.compression.pruning.protocol import PRUNING, ChannelGroup, ChannelPruning
from slimtune.compression.settings import settings


@PRUNING.register("random")
@settings
class Random(ChannelPruning):
    """Score of a channel: uniform in [0, 1), drawn from the trial's seed and the group's name.

    The control of Mittal, Bhardwaj, Khapra, Ravindran, "Recovering from Random Pruning", WACV
    2018, arXiv:1801.10447: after fine-tuning, many criteria are hard to tell from it. The same
    seed gives the same channels in every process; compare at least three seeds.
    """

    reference = "Mittal et al., WACV 2018, arXiv:1801.10447"
    comparable = True

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return the draws, (channels,)."""
        digest = hashlib.sha256(f"{group.seed}/{group.name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        return torch.rand(group.channels, generator=generator)
