"""What each technique gained: each trial with it is compared with the most similar one without it.

Two trials are similar if they have the same student, the same methods in the other stages in the
same order (for pruning only whether anything is pruned), and amounts that differ by at most 0.1.
Of several similar trials the nearest counts: by pruning method, then amount, bits, seed and
learning rate. In a grid that is the same recipe without the technique. The mean difference comes
with its standard error, which covers chance only: one trial may be in several pairs, and a sampler
that has learned where a technique works shows it at its best. Pairs with an unstable latency do
not count for latency.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slimtune.results.objectives import Objective
from slimtune.results.store.record import TrialRecord
from slimtune.results.views.report.design import ABSENT, flat_settings

STAGES = ("prune", "quantize", "distill")
CLOSE = 0.1
"""Pruned amounts that differ by more are not alike."""


@dataclass(frozen=True)
class Effect:
    """The mean change of one objective over the pairs.

    Attributes:
        change: in the objective's unit, or a factor (0.25: a fourth is left).
        low: one standard error below; NaN with a single pair.
        high: one standard error above.
        ratio: whether it is a factor.
    """

    change: float
    low: float
    high: float
    ratio: bool


@dataclass(frozen=True)
class TechniqueGain:
    """What one technique gained.

    Attributes:
        stage: where in the recipe.
        method: its name.
        trials: complete ones that have it.
        pairs: how many of them have a similar trial without the technique.
        effects: objective -> effect; objectives without a pair are left out.
    """

    stage: str
    method: str
    trials: int
    pairs: int
    effects: dict[str, Effect]


def attributions(
    records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> list[TechniqueGain]:
    """Return what each technique gained, stage by stage.

    Args:
        records: complete trials.
        objectives: of the run.
    """
    flat = {record.number: flat_settings(record.recipe) for record in records}
    found = []
    for stage in STAGES:
        methods = {number: _method(one, stage) for number, one in flat.items()}
        without = [record for record in records if methods[record.number] == ABSENT]
        if not without:  # the stage was in every trial: nothing can be told of it
            continue
        for method in sorted(set(methods.values()) - {ABSENT}):
            with_it = [record for record in records if methods[record.number] == method]
            pairs = [
                (record, nearest)
                for record in with_it
                if (nearest := _nearest(record, without, flat, stage)) is not None
            ]
            effects = {
                objective.name: _effect(sure, objective)
                for objective in objectives
                if (sure := [pair for pair in pairs if all(_is_sure(r, objective) for r in pair)])
            }
            found.append(TechniqueGain(stage, method, len(with_it), len(pairs), effects))
    return found


def _method(settings: Mapping[str, Any], stage: str) -> str:
    return str(settings.get(f"{stage}.method", ABSENT))


def _nearest(
    record: TrialRecord,
    without: Sequence[TrialRecord],
    flat: Mapping[int, Mapping[str, Any]],
    stage: str,
) -> TrialRecord | None:
    """Return the trial that is most like this one but for ``stage``, if one is alike."""
    mine = flat[record.number]
    alike = [other for other in without if _alike(mine, flat[other.number], stage)]

    def distance(other: TrialRecord) -> tuple[Any, ...]:
        its = flat[other.number]
        return (
            stage != "prune" and _method(mine, "prune") != _method(its, "prune"),
            _gap(mine, its, "prune.amount") if stage != "prune" else 0.0,
            _gap(mine, its, "quantize.bits") if stage != "quantize" else 0.0,
            other.conditions.seed != record.conditions.seed,
            abs(math.log(_number(mine, "train.lr", 1.0) / _number(its, "train.lr", 1.0))),
            other.number,
        )

    return min(alike, key=distance, default=None)


def _alike(mine: Mapping[str, Any], its: Mapping[str, Any], stage: str) -> bool:
    # An order is one of pruning and quantization: without one of them there is none to differ.
    same = ("student.model", "order") if stage == "distill" else ("student.model",)
    if any(mine.get(name) != its.get(name) for name in same):
        return False
    for other in STAGES:
        if other == stage:
            continue
        if other == "prune":
            if (_method(mine, other) == ABSENT) != (_method(its, other) == ABSENT):
                return False
        elif _method(mine, other) != _method(its, other):
            return False
    return stage == "prune" or _gap(mine, its, "prune.amount") <= CLOSE + 1e-9


def _gap(mine: Mapping[str, Any], its: Mapping[str, Any], name: str) -> float:
    return abs(_number(mine, name, 0.0) - _number(its, name, 0.0))


def _number(settings: Mapping[str, Any], name: str, default: float) -> float:
    value = settings.get(name)
    return default if value is None else float(value)


def _is_sure(record: TrialRecord, objective: Objective) -> bool:
    return objective.name != "latency_ms" or record.stable


def _effect(pairs: Sequence[tuple[TrialRecord, TrialRecord]], objective: Objective) -> Effect:
    values = np.array(
        [[r.objectives[objective.name] for r in pair] for pair in pairs], dtype=float
    )
    ratio = objective.log and bool((values > 0).all())
    changes = np.diff(np.log(values) if ratio else values, axis=1)[:, 0] * -1.0
    mean = float(changes.mean())
    error = float(changes.std(ddof=1) / math.sqrt(len(changes))) if len(changes) > 1 else math.nan
    bounds = np.array([mean, mean - error, mean + error])
    change, low, high = (np.exp(bounds) if ratio else bounds).tolist()
    return Effect(change, low, high, ratio)
