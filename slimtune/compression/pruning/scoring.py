"""Scores of coupled channels from scores of the filters that produce them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.errors import PruningError


@torch.no_grad()
def mean_over_producers(group: ChannelGroup, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Score every layer that produces the group's channels and average over the layers.

    With more than one producer each layer's scores are divided by their mean first, so that no
    layer outvotes another by its size or scale.

    Args:
        group: coupled channels.
        score: maps one layer's filters, float32 (channels, fan_in), to scores (channels,).

    Returns:
        float32 scores, (group.channels,), on the device of the first producer.

    Raises:
        PruningError: a producer's rows are not a whole multiple of the group's channels.
    """
    scores = [score(_filters(name, layer, group.channels)) for name, layer in group.producers]
    if len(scores) > 1:
        scores = [relative(layer_scores) for layer_scores in scores]
    return torch.stack(scores).mean(dim=0)


def relative(scores: Tensor) -> Tensor:
    """Return scores over their mean size, so that layers compare; all-zero scores stay zero.

    The mean is of absolute values: dividing by a negative mean would turn the order around.
    """
    return scores / (scores.abs().mean() or 1.0)


def _filters(name: str, layer: nn.Module, channels: int) -> Tensor:
    weight = layer.weight.detach().float()  # type: ignore[operator, union-attr]
    if getattr(layer, "transposed", False):  # (in, out, ...): the filter runs along axis 1
        weight = weight.transpose(0, 1)
    if weight.shape[0] % channels:
        raise PruningError(
            f"{name}: {weight.shape[0]} rows cannot be shared among {channels} channels"
        )
    return weight.reshape(channels, -1)  # consecutive rows belong to one channel
