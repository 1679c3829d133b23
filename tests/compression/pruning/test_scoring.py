"""How the scores of several layers become one score a channel."""

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.scoring import mean_over_producers, relative
from slimtune.errors import PruningError


def sums(filters: Tensor) -> Tensor:
    return filters.sum(dim=1)


def group(*rows: list[list[float]], channels: int) -> ChannelGroup:
    layers = []
    for number, weight in enumerate(rows):
        layer = nn.Linear(len(weight[0]), len(weight))
        layer.weight.data = torch.tensor(weight)
        layers.append((f"layer{number}", layer))
    return ChannelGroup("layer0", tuple(layers), (), (), channels)


def test_a_single_layer_keeps_its_scores() -> None:
    got = mean_over_producers(group([[1.0, 2], [10, 20]], channels=2), sums)
    assert got.tolist() == [3.0, 30.0]


def test_two_layers_weigh_the_same_whatever_their_scale() -> None:
    small, large = [[1.0], [3.0]], [[3000.0], [1000.0]]
    got = mean_over_producers(group(small, large, channels=2), sums)
    torch.testing.assert_close(got, torch.tensor([1.0, 1.0]))


def test_a_layer_of_zeros_does_not_make_the_scores_nan() -> None:
    got = mean_over_producers(group([[0.0], [0.0]], [[1.0], [3.0]], channels=2), sums)
    torch.testing.assert_close(got, torch.tensor([0.25, 0.75]))


def test_consecutive_rows_count_for_the_channel_they_make() -> None:
    got = mean_over_producers(group([[1.0], [2], [30], [40]], channels=2), sums)
    assert got.tolist() == [3.0, 70.0]


def test_rows_that_cannot_be_shared_are_refused_with_the_layers_name() -> None:
    with pytest.raises(PruningError, match="layer0: 3 rows .* 2 channels"):
        mean_over_producers(group([[1.0], [2], [3]], channels=2), sums)


def test_filters_of_a_transposed_convolution_run_along_its_second_axis() -> None:
    conv = nn.ConvTranspose2d(2, 3, 1)
    conv.weight.data = torch.tensor([[1.0, 2, 3], [10, 20, 30]]).reshape(2, 3, 1, 1)
    got = mean_over_producers(ChannelGroup("c", (("c", conv),), (), (), 3), sums)
    assert got.tolist() == [11.0, 22.0, 33.0]


def test_half_precision_weights_are_scored_in_float32_without_gradient() -> None:
    layer = nn.Linear(2, 2).half()
    layer.weight.data = torch.full((2, 2), 60000.0, dtype=torch.float16)
    got = mean_over_producers(ChannelGroup("l", (("l", layer),), (), (), 2), sums)
    assert got.tolist() == [120000.0, 120000.0]  # above float16's largest number
    assert not got.requires_grad


def test_dividing_by_the_mean_never_turns_the_order_around() -> None:
    got = relative(torch.tensor([-3.0, -1.0, 1.0]))
    assert got.argsort().tolist() == [0, 1, 2]
