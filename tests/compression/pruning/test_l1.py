"""L1-norm scores against the formula."""

import torch
from torch import nn

from slimtune.compression.pruning import L1
from slimtune.compression.pruning.protocol import ChannelGroup


def test_the_score_is_the_sum_of_absolute_weights() -> None:
    conv = nn.Conv2d(1, 3, (1, 2))
    conv.weight.data = torch.tensor([[1.0, -2], [0, 0.5], [-3, -3]]).reshape(3, 1, 1, 2)
    got = L1().scores(ChannelGroup("c", (("c", conv),), (), (), 3))
    assert got.tolist() == [3.0, 0.5, 6.0]
    assert not got.requires_grad
