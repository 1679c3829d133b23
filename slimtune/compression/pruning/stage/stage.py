"""The pruning stage: scores channels, chooses some and removes them, at once or in steps."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from slimtune.compression.network.layers import weight_layers
from slimtune.compression.pruning.protocol import ChannelGroup, ChannelPruning
from slimtune.compression.pruning.stage.gradients import clear_gradients, mean_gradients
from slimtune.compression.pruning.stage.masks import removes_weights, zero
from slimtune.compression.pruning.stage.ranking import choose
from slimtune.compression.pruning.stage.schedules import linear_targets
from slimtune.compression.pruning.stage.surgery import find_groups, remove_channels
from slimtune.compression.stages import Prune
from slimtune.errors import PruningError

KeptChannels = dict[str, list[int]]
"""For each layer that lost output channels, the indices that stayed, ascending."""

Recover = Callable[[nn.Module, KeptChannels, int], None]
"""Trains the network a little, in place, after the step of that number, counted from 1."""


def recover_nothing(model: nn.Module, kept: KeptChannels, step: int) -> None:
    """Do not train."""


def prune(
    model: nn.Module,
    settings: Prune,
    *,
    batch: tuple[Tensor, Tensor],
    seed: int = 0,
    recover: Recover = recover_nothing,
) -> KeptChannels:
    """Remove the ``amount`` of channels or weights that the method scores lowest, in place.

    Channels are removed physically, so the network becomes smaller; weights become exactly 0.
    The incremental schedule goes to ``amount * i / steps`` of the original channels or weights
    in step i, and never restores what was removed before.

    Args:
        model: the network, with option-A shortcuts materialised.
        settings: method, amount, scope, rounding and schedule; the schedule is not soft.
        batch: normalised calibration images, (n, channels, height, width), and their labels,
            on the model's device; for gradients, and to trace with.
        seed: of the trial, for methods that draw.
        recover: called after every step of the incremental schedule but the last.

    Returns:
        For every layer whose output channels were cut, the original indices of those that
        stayed, ascending; empty if single weights were removed.

    Raises:
        PruningError: the network cannot be pruned, or the method's scores are unusable.
    """
    steps = settings.steps if settings.schedule == "incremental" else 1
    remaining = _Remaining()
    for step, amount in enumerate(linear_targets(settings.amount, steps), start=1):
        if removes_weights(settings):
            _zero_weights(model, settings, amount, batch[0][:2])
        else:
            step_settings = dataclasses.replace(settings, amount=amount)
            _cut_channels(model, step_settings, batch=batch, seed=seed, remaining=remaining)
        if step < steps:
            recover(model, remaining.kept(), step)
    return remaining.kept()


def channel_groups(model: nn.Module, example: Tensor, seed: int) -> list[ChannelGroup]:
    """Return the prunable groups of ``model`` with their level and the trial's seed.

    Args:
        model: the network, with option-A shortcuts materialised; not changed.
        example: one batch, (n, channels, height, width), on the model's device.
        seed: of the trial.
    """
    levels = {layer.name: layer.level for layer in weight_layers(model, example)}
    return [
        dataclasses.replace(group, level=levels.get(group.name, 0), seed=seed)
        for group in find_groups(model, example)
    ]


def channels_to_remove(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    settings: Prune,
    batch: tuple[Tensor, Tensor],
    *,
    originals: dict[str, int] | None = None,
) -> dict[str, list[int]]:
    """Return the channels of each group that the settings' method and amount remove.

    Args:
        model: holds the groups; only gradients change, and they are dropped.
        groups: what may go.
        settings: method, amount, scope and rounding.
        batch: normalised calibration images and their labels.
        originals: how many channels each group had before anything was removed; the amount is
            of those. None: as many as now.

    Returns:
        Indices, ascending, by the group's name.

    Raises:
        PruningError: the method's scores are unusable.
    """
    return channels_by_scores(
        scores_of(model, groups, settings.method, batch), groups, settings, originals
    )


def scores_of(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    method: ChannelPruning,
    batch: tuple[Tensor, Tensor],
) -> dict[str, Tensor]:
    """Return a method's score of each channel: float32, (channels,), by the group's name.

    Args:
        model: holds the groups; only gradients change, and they are dropped.
        groups: what may go.
        method: scores them.
        batch: normalised calibration images and their labels.

    Raises:
        PruningError: the method cannot score this network, or its scores are unusable.
    """
    method.check(groups)
    if method.needs_gradients:
        mean_gradients(model, *batch)
    try:
        return {group.name: _scores(method, group) for group in groups}
    finally:
        if method.needs_gradients:
            clear_gradients(model)


def channels_by_scores(
    scores: Mapping[str, Tensor],
    groups: Sequence[ChannelGroup],
    settings: Prune,
    originals: dict[str, int] | None = None,
) -> dict[str, list[int]]:
    """Return the channels with the lowest scores, ascending, by the group's name.

    Args:
        scores: from `scores_of`.
        groups: what was scored.
        settings: method, amount, scope and rounding.
        originals: see `channels_to_remove`.

    Raises:
        PruningError: a score is NaN or infinite.
    """
    return choose(
        scores,
        settings.amount,
        settings.scope,
        settings.round_to,
        comparable=settings.method.comparable,
        levels={group.name: group.level for group in groups},
        originals=originals,
    )


class _Remaining:
    """The original channels that remain, step after step."""

    def __init__(self) -> None:
        self.groups: dict[str, list[int]] = {}
        self.originals: dict[str, int] = {}
        self._producers: dict[str, list[str]] = {}

    def add(self, groups: Sequence[ChannelGroup]) -> None:
        """Note the sizes of groups before anything is removed; known groups stay as they are."""
        for group in groups:
            self.groups.setdefault(group.name, list(range(group.channels)))
            self.originals.setdefault(group.name, group.channels)
            self._producers.setdefault(group.name, [name for name, _ in group.producers])

    def remove(self, name: str, indices: Sequence[int]) -> None:
        """Note a removal; ``indices`` count among the channels that remained before it."""
        removed = set(indices)
        self.groups[name] = [c for i, c in enumerate(self.groups[name]) if i not in removed]

    def kept(self) -> KeptChannels:
        """Return the original channels that remain, of each layer that lost some."""
        return {
            layer: list(channels)
            for name, channels in self.groups.items()
            if len(channels) < self.originals[name]
            for layer in self._producers[name]
        }


def _cut_channels(
    model: nn.Module,
    settings: Prune,
    *,
    batch: tuple[Tensor, Tensor],
    seed: int,
    remaining: _Remaining,
) -> None:
    """Remove channels until ``settings.amount`` of the original ones is gone."""
    example = batch[0][:2]
    groups = channel_groups(model, example, seed)
    remaining.add(groups)
    removals = channels_to_remove(model, groups, settings, batch, originals=remaining.originals)
    if any(removals.values()):
        removals = remove_channels(model, example, removals)
    for name, indices in removals.items():
        remaining.remove(name, indices)


@torch.no_grad()
def _zero_weights(model: nn.Module, settings: Prune, amount: float, example: Tensor) -> None:
    """Set ``amount`` of the weights to 0, those that are 0 already included."""
    if amount == 0:
        return
    layers = weight_layers(model, example)
    weights = {layer.weight_name: layer.weight.detach().float() for layer in layers}
    zero(model, settings.method.masks(weights, amount, settings.scope))


def _scores(method: ChannelPruning, group: ChannelGroup) -> Tensor:
    scores = method.scores(group).detach().float().cpu()
    if scores.shape != (group.channels,):
        raise PruningError(
            f"{group.name}: a method must return {group.channels} scores, "
            f"but got shape {tuple(scores.shape)}"
        )
    return scores
