"""Which recipes are one and the same network before any of them is trained.

Counts kept are rounded, so on a narrow network 20 % and 25 % may leave the same channels. Where
the counts are known before training, they stand in a recipe's key instead of what was asked for:
amount, scope and rounding, or the rate of an epoch.
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
from slimtune.compression.pruning.stage.stage import channel_groups, chosen, scores_of
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE, Prune, Student
from slimtune.compression.training.recalibration import has_statistics
from slimtune.errors import SlimtuneError
from slimtune.measurement.cost import count_cost
from slimtune.search.trial.students import student_builder
from slimtune.workload.types import Workload

MOST_MACS = 1e12
"""Of a method's gradients: above it (seconds on one core) global counts are not looked ahead."""
_ASKED = ("amount", "scope", "round_to", "rate")


@dataclass(frozen=True)
class _Prunable:
    """A student and what of it can go."""

    network: nn.Module
    groups: Sequence[ChannelGroup]


class Twins:
    """Tells recipes apart by what they make, as far as that is known before training.

    Known are the counts of each group where every group loses the same share (scope local), for
    every schedule; where channels are ranked across groups, of pruning the baseline at once, by
    the scores of its own weights. Everything else counts as it was asked for.

    Args:
        workload: with the trained baseline; not modified.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._students: dict[Student, _Prunable | None] = {}
        self._scores: dict[ChannelPruning, dict[str, Tensor] | None] = {}

    def key(self, mapping: Mapping[str, Any]) -> str:
        """Return a hexadecimal name: recipes with the same one make the same network.

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
            By the group's name; None where training has a say in it, or where no channels go.
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
        """Return a recipe that measures no statistics again where the network has none."""
        student = self._student(recipe.student) if recipe.train.recalibrate else None
        if student is None or has_statistics(student.network):
            return recipe
        return replace(recipe, train=replace(recipe.train, recalibrate=False))

    def _ranked(
        self, recipe: Recipe, prune: Prune, student: _Prunable
    ) -> list[dict[str, int]] | None:
        is_random = PRUNING.name_of(prune.method) == "random"  # each trial draws its own
        if not _is_one_shot(recipe) or is_random or recipe.student.model != BASELINE:
            return None
        scores = self._scores_of(prune.method, student)
        if scores is None:
            return None
        removed = chosen(scores, student.groups, prune)
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
        except SlimtuneError:  # the trial will say it
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
        except Exception:  # a network that cannot be pruned: the trial will say why
            return None


def _is_one_shot(recipe: Recipe) -> bool:
    """Return whether channels go once, with nothing trained before."""
    prune = recipe.prune
    sparse = prune is not None and prune.method.sparsity_epochs > 0
    return not recipe.softly and not recipe.in_steps and not sparse


def _amounts(recipe: Recipe, prune: Prune) -> list[float]:
    """Return the amount that is gone at every point of the schedule; see `SoftPruning`."""
    epochs = recipe.train.epochs
    if prune.schedule == "per_epoch":
        return [gone_after(prune.rate, epoch) for epoch in range(1, epochs + 1)]
    if recipe.softly:
        full = ramp_epochs(epochs)
        return [*(cubic(prune.amount, epoch / full) for epoch in range(1, full)), prune.amount]
    return linear_targets(prune.amount, prune.steps if recipe.in_steps else 1)
