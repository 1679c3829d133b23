"""What a pruning method is: a score for every channel, or a mask for every weight.

Ranking, rounding, schedules and surgery are shared. A method inherits from one of the two
classes here and overrides what it does differently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from slimtune.registry import Registry

Scope = Literal["local", "stage", "global"]


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
        level: resolution level of the first producer, counted from 0, see `layers.weight_layers`.
        seed: of the trial, for methods that draw.
        shared_norms: batch normalisations on these channels and others, after a concatenation.
        positions: where the channels lie among the inputs of a consumer or in a shared norm, by
            the layer's name: channel i's come i-th, in runs of equal length, because a flattened
            channel has several; a layer that is not named has channel i at i.
    """

    name: str
    producers: tuple[tuple[str, nn.Module], ...]
    norms: tuple[tuple[str, nn.Module], ...]
    consumers: tuple[tuple[str, nn.Module], ...]
    channels: int
    level: int = 0
    seed: int = 0
    shared_norms: tuple[tuple[str, nn.Module], ...] = ()
    positions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class ChannelPruning:
    """Scores the channels of one group; the lowest scores are removed first.

    Attributes:
        removes: ``"channels"``: layers become smaller.
        comparable: whether the scores of different groups can be ranked together as they are;
            otherwise each group's are divided by their mean first.
        needs_gradients: whether parameters must carry ``.grad``, the gradient of the mean loss on
            calibration images in eval mode, when `scores` is called.
        sparsity_epochs: epochs of training with `regularize` before anything is removed.
        uses_amount: whether the amount decides how much is removed.
    """

    removes = "channels"
    comparable = False
    needs_gradients = False
    sparsity_epochs = 0
    uses_amount = True

    def check(self, groups: Sequence[ChannelGroup]) -> None:
        """Refuse a network that the method cannot score.

        Raises:
            PruningError: no group has the parameters that the method needs.
        """

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return one float32 score a channel, (group.channels,). Must not change the network."""
        raise NotImplementedError

    def regularize(self, groups: Sequence[ChannelGroup]) -> None:
        """Add the penalty's gradient to ``.grad`` in place, after each backward pass."""


class WeightPruning:
    """Chooses single weights that become 0; layers keep their size.

    Attributes:
        removes: ``"weights"``.
        sparsity_epochs: 0.
        uses_amount: whether the amount decides how much is removed.
    """

    removes = "weights"
    sparsity_epochs = 0
    uses_amount = True

    def masks(
        self, weights: Mapping[str, Tensor], amount: float, scope: Scope
    ) -> dict[str, Tensor]:
        """Return what stays of each weight: boolean, shaped like it, True where it stays.

        Args:
            weights: float32, (out, in/groups, ...), by parameter name, in graph order; zeros are
                weights that were removed before; they must be removed again.
            amount: fraction of all these weights to remove, in [0, 1).
            scope: where the fraction holds: in each layer, or over all layers together.

        Raises:
            PruningError: the rule does not fit these weights.
        """
        raise NotImplementedError


PRUNING: Registry[type[ChannelPruning] | type[WeightPruning]] = Registry("pruning method")
