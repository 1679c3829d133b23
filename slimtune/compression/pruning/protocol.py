"""What a pruning method is: a score for every channel. Ranking and surgery are shared."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from slimtune.registry import Registry


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that can only be removed together, because additions or depthwise layers tie them.

    Attributes:
        name: qualified name of the first layer that produces these channels.
        producers: the convolutions and linear layers (with qualified names) whose output
            channels these are, in graph order; frozen selection convolutions are left out.
        norms: the batch normalisations on these channels, with qualified names.
        consumers: the convolutions and linear layers that read these channels.
        channels: how many there are.
    """

    name: str
    producers: tuple[tuple[str, nn.Module], ...]
    norms: tuple[tuple[str, nn.Module], ...]
    consumers: tuple[tuple[str, nn.Module], ...]
    channels: int


class PruningMethod(Protocol):
    """Scores the channels of one group; the lowest scores are removed first."""

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return one float32 score a channel, (group.channels,). Must not change the network."""
        ...


PRUNING: Registry[type[PruningMethod]] = Registry("pruning method")
