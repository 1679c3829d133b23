"""First-order Taylor scores: a loss that is known, and batch norm's blind spot."""

import pytest
import torch
from torch import nn

from slimtune.compression.pruning import Taylor
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.stage.gradients import mean_gradients
from slimtune.errors import PruningError


def group(conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> ChannelGroup:
    norms = () if norm is None else (("bn", norm),)
    return ChannelGroup("conv", (("conv", conv),), norms, (), conv.out_channels)


def test_for_a_quadratic_loss_the_score_is_the_sum_of_w_times_w_minus_its_optimum() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
    parameters = [conv.weight, conv.bias, norm.weight, norm.bias]
    nn.init.normal_(norm.bias)
    optima = [torch.randn_like(parameter) for parameter in parameters]
    pairs = list(zip(parameters, optima, strict=True))
    sum(((w - best) ** 2).sum() / 2 for w, best in pairs).backward()
    parts = [(w * (w - best)).detach().abs().reshape(3, -1).sum(1) for w, best in pairs]
    torch.testing.assert_close(Taylor().scores(group(conv, norm)), sum(parts))


def test_through_batch_norm_the_plain_sum_is_zero_and_the_score_is_not() -> None:
    """Oracle 9: in train mode the loss does not depend on a filter's length."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 6, 3, bias=False).double(), nn.BatchNorm2d(6, eps=1e-12).double()
    head = nn.Linear(6, 4).double()
    x = torch.randn(32, 3, 8, 8, dtype=torch.float64)
    out = head(norm(conv(x)).relu().mean((2, 3)))
    nn.functional.cross_entropy(out, torch.arange(32) % 4).backward()
    signed = (conv.weight * conv.weight.grad).sum((1, 2, 3))
    assert signed.abs().max() < 1e-10
    assert Taylor().scores(group(conv)).min() > 1e-4


def test_a_channel_that_nothing_reads_scores_zero_and_goes_first() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
    model = nn.Sequential(
        conv, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )
    model[5].weight.data[:, 2] = 0
    mean_gradients(model, torch.randn(20, 3, 8, 8), torch.arange(20) % 4)
    scores = Taylor().scores(group(conv, norm))
    assert scores[2] == 0 and scores[[0, 1, 3, 4, 5]].min() > 0


def test_frozen_parameters_do_not_count_and_a_frozen_group_is_refused() -> None:
    conv, norm = nn.Conv2d(2, 3, 1, bias=False), nn.BatchNorm2d(3)
    norm.weight.grad = torch.tensor([1.0, -2.0, 0.0])
    assert Taylor().scores(group(conv, norm)).tolist() == [1, 2, 0]
    with pytest.raises(PruningError, match="conv: taylor needs gradients, .* frozen"):
        Taylor().scores(group(conv))
