"""The pruning stage: score, choose, remove."""

from typing import Literal

from torch import Tensor, nn

from slimtune.compression.pruning.protocol import ChannelGroup, PruningMethod
from slimtune.compression.pruning.ranking import choose
from slimtune.compression.pruning.surgery import find_groups, remove_channels
from slimtune.errors import PruningError


def prune(
    model: nn.Module,
    *,
    method: PruningMethod,
    amount: float,
    scope: Literal["local", "global"],
    round_to: int,
    example: Tensor,
) -> dict[str, list[int]]:
    """Remove the ``amount`` of channels that ``method`` scores lowest, in place.

    Args:
        model: the network, with option-A shortcuts materialised.
        method: a registered pruning method.
        amount: fraction of channels to remove, in [0, 1); 0 changes nothing.
        scope: "local" or "global", see `choose`.
        round_to: counts kept are multiples of this, or all channels.
        example: one batch, (n, channels, height, width), on the model's device.

    Returns:
        The indices kept, ascending, by group name; also for groups that lost nothing.

    Raises:
        ConfigError: an amount, scope or round_to outside its range.
        PruningError: the network cannot be pruned, or the method's scores are unusable.
    """
    groups = find_groups(model, example)
    removals = choose({g.name: _scores(method, g) for g in groups}, amount, scope, round_to)
    if any(removals.values()):
        remove_channels(model, example, removals)
    gone = {name: set(indices) for name, indices in removals.items()}
    return {g.name: [i for i in range(g.channels) if i not in gone[g.name]] for g in groups}


def _scores(method: PruningMethod, group: ChannelGroup) -> Tensor:
    scores = method.scores(group).detach().float().cpu()
    if scores.shape != (group.channels,):
        raise PruningError(
            f"{group.name}: a method must return {group.channels} scores, "
            f"but got shape {tuple(scores.shape)}"
        )
    return scores
