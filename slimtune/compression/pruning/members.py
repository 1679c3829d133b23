"""The parameters that belong to a group's channels, and where in them each channel lies."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.workload.shortcut import SelectionConv2d


@dataclass(frozen=True)
class Member:
    """One parameter that is tied to the channels of a group.

    Attributes:
        name: qualified name of its layer.
        parameter: the live parameter.
        axis: along which of its axes the channels lie.
        indices: int64, where along that axis; channel i's come i-th, in runs of equal length.
        channels: of the group.
    """

    name: str
    parameter: Tensor
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
        along = runs.new_zeros(self.parameter.shape[self.axis]).index_copy_(0, self.indices, runs)
        shape = [1] * self.parameter.ndim
        shape[self.axis] = -1
        return along.view(shape)


def filters(group: ChannelGroup) -> list[Member]:
    """Return the weights of the layers that produce the channels."""
    own = range(group.channels)
    return [
        _member(group, name, layer.weight, 1 if _transposed(layer) else 0, own)
        for name, layer in group.producers
    ]


def scales(group: ChannelGroup) -> list[Member]:
    """Return the weights (gamma) of the batch norms on the channels, shared ones too."""
    return _of_norms(group, "weight")


def shifts(group: ChannelGroup) -> list[Member]:
    """Return what is added to the channels: biases of producers and of batch norms (beta)."""
    own = range(group.channels)
    biases = [
        _member(group, name, layer.bias, 0, own)
        for name, layer in group.producers
        if layer.bias is not None
    ]
    return [*biases, *_of_norms(group, "bias")]


def readers(group: ChannelGroup) -> list[Member]:
    """Return the weights that read the channels; frozen 0/1 selections are no weights."""
    return [
        _member(group, name, layer.weight, 0 if _transposed(layer) else 1, _at(group, name))
        for name, layer in group.consumers
        if not isinstance(layer, SelectionConv2d)
    ]


def _of_norms(group: ChannelGroup, kind: str) -> list[Member]:
    return [
        _member(group, name, getattr(norm, kind), 0, _at(group, name))
        for name, norm in (*group.norms, *group.shared_norms)
        if getattr(norm, kind) is not None  # a norm may come without an affine map
    ]


def _at(group: ChannelGroup, name: str) -> Sequence[int]:
    return group.positions.get(name, range(group.channels))


def _member(
    group: ChannelGroup, name: str, parameter: object, axis: int, indices: Sequence[int]
) -> Member:
    assert isinstance(parameter, Tensor)
    where = torch.tensor(list(indices), device=parameter.device)
    return Member(name, parameter, axis, where, group.channels)


def _transposed(layer: nn.Module) -> bool:
    return bool(getattr(layer, "transposed", False))
