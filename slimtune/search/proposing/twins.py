"""Recognises twins: recipes that keep the same channels although their settings differ.

Counts of channels are rounded, so on a narrow network amounts of 20 % and 25 % may keep the same
channels. If the counts are known before training, the key of a recipe holds them in place of the
settings that they follow from: amount, scope and rounding, or the rate of an epoch.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from slimtune.compression.calibration import SCORING_IMAGES, calibration_batch
from slimtune.compression.network.copies import copied
from slimtune.compression.pruning import PRUNING
from slimtune.compression.pruning.protocol import ChannelGroup, ChannelPruning
from slimtune.compression.pruning.stage.ranking import keep_count
from slimtune.compression.pruning.stage.schedules import (
    cubic,
    gone_after,
    linear_targets,
    ramp_epochs,
)
from slimtune.compression.pruning.stage.stage import channel_groups, channels_by_scores, scores_of
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE, Prune, Student
from slimtune.compression.training.recalibration import has_statistics
from slimtune.errors import SlimtuneError
from slimtune.measurement.cost import count_cost
from slimtune.search.trial.students import student_builder
from slimtune.workload.types import Workload

MOST_MACS = 1e12
"""Most MACs that scoring by gradients may take here (seconds on one core); above it, the counts
of global pruning are not computed."""
_ASKED = ("amount", "scope", "round_to", "rate")


@dataclass(frozen=True)
class _Prunable:
    """A student, and the channel groups that can be pruned."""

    network: nn.Module
    groups: Sequence[ChannelGroup]


class Twins:
    """Gives recipes a key by the channels that they keep, if these are known before training.

    With local scope every group loses the same share, so the counts are known for every schedule.
    With global scope channels are ranked across groups; the counts are known only if the baseline
    is pruned in one shot, by the scores of its own weights. Otherwise the key holds the settings.

    Args:
        workload: with the trained baseline; not modified.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._students: dict[Student, _Prunable | None] = {}
        self._scores: dict[ChannelPruning, dict[str, Tensor] | None] = {}

    def key(self, mapping: Mapping[str, Any]) -> str:
        """Return a hexadecimal key: recipes with the same key make the same network.

        Args:
            mapping: a recipe in its JSON form.

        Raises:
            ConfigError: it is no valid recipe.
        """
        recipe = self._without_idle_statistics(Recipe.from_dict(mapping).effective())
        counts = self.kept(recipe)
        if recipe.prune is None or counts is None:
            return recipe.key()
        if _is_one_shot(recipe) and counts[-1] == self._sizes(recipe.student):
            return replace(recipe, prune=None).key()
        form = recipe.to_dict()
        form["prune"] = {k: v for k, v in form["prune"].items() if k not in _ASKED}
        form["prune"]["kept"] = counts
        return hashlib.sha256(json.dumps(form, sort_keys=True).encode()).hexdigest()[:16]

    def kept(self, recipe: Recipe) -> list[dict[str, int]] | None:
        """Return how many channels each group keeps, at every point of the schedule.

        Returns:
            Group name -> channels, for each point; None if training decides the counts, or if
            no channels are pruned.
        """
        prune = recipe.prune
        if prune is None or prune.method.removes != "channels" or not prune.method.uses_amount:
            return None
        student = self._student(recipe.student)
        if student is None:
            return None
        if prune.scope == "local":
            return [
                {g.name: keep_count(g.channels, amount, prune.round_to) for g in student.groups}
                for amount in _amounts(recipe, prune)
            ]
        return self._ranked(recipe, prune, student)

    def _without_idle_statistics(self, recipe: Recipe) -> Recipe:
        """Return the recipe without recalibration if its network has no statistics to measure."""
        student = self._student(recipe.student) if recipe.train.recalibrate else None
        if student is None or has_statistics(student.network):
            return recipe
        return replace(recipe, train=replace(recipe.train, recalibrate=False))

    def _ranked(
        self, recipe: Recipe, prune: Prune, student: _Prunable
    ) -> list[dict[str, int]] | None:
        is_random = PRUNING.name_of(prune.method) == "random"  # each trial draws its own channels
        if not _is_one_shot(recipe) or is_random or recipe.student.model != BASELINE:
            return None
        scores = self._scores_of(prune.method, student)
        if scores is None:
            return None
        removed = channels_by_scores(scores, student.groups, prune)
        return [
            {group.name: group.channels - len(removed[group.name]) for group in student.groups}
        ]

    def _scores_of(self, method: ChannelPruning, student: _Prunable) -> dict[str, Tensor] | None:
        if method not in self._scores:
            self._scores[method] = self._score(method, student)
        return self._scores[method]

    def _score(self, method: ChannelPruning, student: _Prunable) -> dict[str, Tensor] | None:
        workload = self._workload
        if method.needs_gradients:
            macs = count_cost(student.network, workload.image_shape).macs
            if 3 * macs * min(SCORING_IMAGES, len(workload.train)) > MOST_MACS:
                return None
        try:
            batch = calibration_batch(workload, SCORING_IMAGES, "cpu")
            return scores_of(student.network, student.groups, method, batch)
        except SlimtuneError:  # the trial will report it
            return None

    def _sizes(self, student: Student) -> dict[str, int]:
        prunable = self._student(student)
        return (
            {} if prunable is None else {group.name: group.channels for group in prunable.groups}
        )

    def _student(self, student: Student) -> _Prunable | None:
        if student not in self._students:
            self._students[student] = self._examine(student)
        return self._students[student]

    def _examine(self, student: Student) -> _Prunable | None:
        network = self._workload.baseline
        try:
            if student.model != BASELINE:
                architecture = replace(self._workload.architecture, name=student.model)
                network = student_builder(self._workload)(architecture, student.weights)
            network = copied(network, self._workload.image_shape)
            example = calibration_batch(self._workload, 2, "cpu")[0]
            return _Prunable(network, channel_groups(network, example, seed=0))
        except Exception:  # the network cannot be pruned; the trial will report why
            return None


def _is_one_shot(recipe: Recipe) -> bool:
    """Return whether all channels are removed at once, before any training."""
    prune = recipe.prune
    sparse = prune is not None and prune.method.sparsity_epochs > 0
    return not recipe.softly and not recipe.in_steps and not sparse


def _amounts(recipe: Recipe, prune: Prune) -> list[float]:
    """Return the amount that is removed at every point of the schedule; see `SoftPruning`."""
    epochs = recipe.train.epochs
    if prune.schedule == "per_epoch":
        return [gone_after(prune.rate, epoch) for epoch in range(1, epochs + 1)]
    if recipe.softly:
        full = ramp_epochs(epochs)
        return [*(cubic(prune.amount, epoch / full) for epoch in range(1, full)), prune.amount]
    return linear_targets(prune.amount, prune.steps if recipe.in_steps else 1)
