"""Chooses the channels to remove by their scores: exact counts, stable ties, rounded counts."""

import math
from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from slimtune.compression.pruning.protocol import Scope
from slimtune.compression.pruning.scoring import relative
from slimtune.errors import ConfigError, PruningError


def keep_count(channels: int, amount: float, round_to: int, minimum: int = 1) -> int:
    """Return how many of ``channels`` stay when ``amount`` of them are removed.

    ``keep = round(channels * (1 - amount))``, then ``round_to * round(keep / round_to)`` within
    round_to..channels, halves up. Never grows with ``amount``; amount 0 keeps everything.

    Args:
        channels: at least 1.
        amount: fraction to remove, in [0, 1).
        round_to: the count kept is a multiple of this, or all channels; at least 1.
        minimum: never fewer than this, unless the group is smaller.

    Raises:
        ConfigError: an amount or a round_to outside its range.
    """
    _check(amount, round_to)
    if amount == 0:
        return channels
    return max(min(minimum, channels), _rounded(_kept(channels, amount), channels, round_to))


def choose(
    groups_scores: Mapping[str, Tensor],
    amount: float,
    scope: Scope,
    round_to: int,
    *,
    comparable: bool = False,
    levels: Mapping[str, int] | None = None,
    originals: Mapping[str, int] | None = None,
) -> dict[str, list[int]]:
    """Return the indices to remove from every group, ascending; the lowest scores go.

    Equal scores go by index, so counts are exact. No group is ever emptied: round_to channels
    stay, or all of a group that has fewer.

    Args:
        groups_scores: one score a channel, (channels,), by group name.
        amount: fraction to remove, in [0, 1).
        scope: "local" removes the amount in every group; "stage" ranks all channels of a level
            together and "global" all channels, and then each group's count is rounded.
        round_to: counts kept are multiples of this, or all channels; at least 1.
        comparable: whether scores of different groups are ranked together as they are; else
            each group's are divided by their mean first.
        levels: resolution level of each group; needed for scope "stage".
        originals: channels of each group before anything was removed, of which ``amount`` is a
            fraction; without it, of the channels that are there.

    Raises:
        ConfigError: an amount, scope or round_to outside its range, or no levels.
        PruningError: a score is NaN or infinite.
    """
    _check(amount, round_to)
    if scope not in get_args(Scope):
        raise ConfigError(f"scope: must be local, stage or global, but got {scope!r}")
    if scope == "stage" and levels is None:
        raise ConfigError("scope: stage needs the resolution level of every group")
    for name, scores in groups_scores.items():
        if not torch.isfinite(scores).all():
            raise PruningError(f"{name}: scores must be finite, but some are NaN or infinite")
    if amount == 0:
        return {name: [] for name in groups_scores}
    sizes = originals or {name: len(scores) for name, scores in groups_scores.items()}
    if scope == "local":
        keep = {n: keep_count(sizes[n], amount, round_to) for n in groups_scores}
    else:
        weighed = {n: s if comparable else relative(s) for n, s in groups_scores.items()}
        pools: dict[int, dict[str, Tensor]] = {}
        for name, scores in weighed.items():
            pool = (levels or {})[name] if scope == "stage" else 0
            pools.setdefault(pool, {})[name] = scores
        keep = {}
        for together in pools.values():
            wanted = _kept(sum(sizes[name] for name in together), amount)
            keep |= _keep_together(together, wanted, round_to)
    return {name: _lowest(s, len(s) - keep[name]) for name, s in groups_scores.items()}


def _check(amount: float, round_to: int) -> None:
    if not 0 <= amount < 1:
        raise ConfigError(f"amount: must be at least 0 and below 1, but got {amount}")
    if round_to < 1:
        raise ConfigError(f"round_to: must be at least 1, but got {round_to}")


def _kept(channels: int, amount: float) -> int:
    # 30 * (1 - 0.55) is 13.499999999999998 in floats: the margin makes such halves round up.
    return math.floor(channels * (1 - amount) + 0.5 + 1e-9)


def _rounded(keep: int, channels: int, round_to: int) -> int:
    nearest = round_to * ((2 * keep + round_to) // (2 * round_to))
    return min(channels, max(round_to, nearest))


def _lowest(scores: Tensor, count: int) -> list[int]:
    order: list[int] = torch.argsort(scores, stable=True)[: max(0, count)].tolist()
    return sorted(order)


def _keep_together(
    groups_scores: Mapping[str, Tensor], wanted: int, round_to: int
) -> dict[str, int]:
    """Return how many channels of each group stay, when about ``wanted`` stay of all of them."""
    guarded = [_guarded(scores, round_to) for scores in groups_scores.values()]
    everything = torch.cat(guarded)
    free = int(torch.isfinite(everything).sum())
    removed = set(_lowest(everything, min(len(everything) - wanted, free)))
    keep, start = {}, 0
    for name, scores in groups_scores.items():
        left = sum(index not in removed for index in range(start, start + len(scores)))
        keep[name] = _rounded(left, len(scores), round_to)
        start += len(scores)
    return keep


def _guarded(scores: Tensor, count: int) -> Tensor:
    """Return the scores with the ``count`` highest raised out of reach: others go instead."""
    guarded = scores.double()
    guarded[torch.argsort(scores, stable=True)[-count:]] = torch.inf
    return guarded
