"""The parameters that belong to a group's channels, and where in them each channel lies."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.workload.shortcut import SelectionConv2d


@dataclass(frozen=True)
class GroupParameter:
    """One parameter that is tied to the channels of a group.

    Attributes:
        name: qualified name of its layer.
        tensor: the live parameter.
        axis: along which of its axes the channels lie.
        indices: int64, where along that axis; channel i's come i-th, in runs of equal length.
        channels: of the group.
    """

    name: str
    tensor: Tensor
    axis: int
    indices: Tensor
    channels: int

    def rows(self, values: Tensor) -> Tensor:
        """Return what each channel holds of ``values``, shaped like the parameter.

        Returns:
            float32, (channels, values a channel), a copy.
        """
        picked = values.detach().index_select(self.axis, self.indices)
        return picked.movedim(self.axis, 0).reshape(self.channels, -1).float()

    def spread(self, factors: Tensor) -> Tensor:
        """Return one factor a channel, (channels,), laid out to multiply the parameter by.

        What does not belong to the group gets the factor 0.
        """
        runs = factors.repeat_interleave(len(self.indices) // self.channels)
        along = runs.new_zeros(self.tensor.shape[self.axis]).index_copy_(0, self.indices, runs)
        shape = [1] * self.tensor.ndim
        shape[self.axis] = -1
        return along.view(shape)


def filters(group: ChannelGroup) -> list[GroupParameter]:
    """Return the weights of the layers that produce the channels."""
    all_channels = range(group.channels)
    return [
        _parameter(
            group, name, layer.weight, axis=1 if _transposed(layer) else 0, indices=all_channels
        )
        for name, layer in group.producers
    ]


def scales(group: ChannelGroup) -> list[GroupParameter]:
    """Return the weights (gamma) of the batch norms on the channels, shared ones too."""
    return _of_norms(group, "weight")


def shifts(group: ChannelGroup) -> list[GroupParameter]:
    """Return what is added to the channels: biases of producers and of batch norms (beta)."""
    all_channels = range(group.channels)
    biases = [
        _parameter(group, name, layer.bias, axis=0, indices=all_channels)
        for name, layer in group.producers
        if layer.bias is not None
    ]
    return [*biases, *_of_norms(group, "bias")]


def readers(group: ChannelGroup) -> list[GroupParameter]:
    """Return the weights that read the channels; frozen 0/1 selections are no weights."""
    return [
        _parameter(
            group,
            name,
            layer.weight,
            axis=0 if _transposed(layer) else 1,
            indices=_positions(group, name),
        )
        for name, layer in group.consumers
        if not isinstance(layer, SelectionConv2d)
    ]


def _of_norms(group: ChannelGroup, kind: str) -> list[GroupParameter]:
    return [
        _parameter(group, name, getattr(norm, kind), axis=0, indices=_positions(group, name))
        for name, norm in (*group.norms, *group.shared_norms)
        if getattr(norm, kind) is not None  # a norm may come without an affine map
    ]


def _positions(group: ChannelGroup, name: str) -> Sequence[int]:
    return group.positions.get(name, range(group.channels))


def _parameter(
    group: ChannelGroup, name: str, tensor: object, *, axis: int, indices: Sequence[int]
) -> GroupParameter:
    assert isinstance(tensor, Tensor)
    where = torch.tensor(list(indices), device=tensor.device)
    return GroupParameter(name, tensor, axis, where, group.channels)


def _transposed(layer: nn.Module) -> bool:
    return bool(getattr(layer, "transposed", False))
