"""L2-norm scores against the formula."""

import torch
from torch import nn

from slimtune.compression.pruning import L1, L2
from slimtune.compression.pruning.protocol import ChannelGroup


def test_the_score_is_the_length_of_the_filter() -> None:
    conv = nn.Conv2d(1, 2, (1, 2))
    conv.weight.data = torch.tensor([[3.0, -4], [6, 0]]).reshape(2, 1, 1, 2)
    group = ChannelGroup("c", (("c", conv),), (), (), 2)
    assert L2().scores(group).tolist() == [5.0, 6.0]
    assert L1().scores(group).tolist() == [7.0, 6.0]  # the other order
