"""How much of the differences between trials each setting of the recipe predicts.

A ridge regression on the settings, and on the squares of numbers, predicts each trial from all
others. Its quality is the predicted R^2 of Allen's PRESS (1974), a leave-one-out formula. What one
setting adds depends on the settings known before it, so it is averaged over all orders: Shapley's
value, which Lindeman, Merenda and Gold (1980) use for R^2. The values add up to the predicted R^2
of the whole model. The rest, up to 1, is chance or effects that no sum of single settings has.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from slimtune.results.objectives import Objective
from slimtune.results.store.record import TrialRecord
from slimtune.results.views.report.design import additive_values, design

FEWEST = 10
"""Complete trials below which nothing is told."""
MOST = 8
"""Settings that take part: those that predict most alone. There are 2^8 sets of them."""
_RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""The one is taken that predicts most with all settings."""


@dataclass(frozen=True)
class Importance:
    """What predicts one objective.

    Attributes:
        objective: which.
        predicted: share of the variation that all settings together predict, at most 1.
        shares: setting -> its part of that, the largest first. They add up to ``predicted``:
            a setting that takes away from it counts 0, at the cost of all others.
    """

    objective: Objective
    predicted: float
    shares: dict[str, float]


def importances(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    fixed: Container[str] = (),
) -> list[Importance]:
    """Return what predicts each objective that differs between the trials.

    Args:
        records: complete trials; of fewer than `FEWEST` nothing is told. Those whose latency is
            unstable tell nothing of latency.
        objectives: of the run.
        fixed: settings that the search had no choice in, which are no causes.
    """
    found = []
    for objective in objectives:
        sure = [record for record in records if objective.name != "latency_ms" or record.stable]
        if len(sure) < FEWEST:
            continue
        columns = design([record.recipe for record in sure], squares=True, without=fixed)
        measured = np.array([record.objectives[objective.name] for record in sure], dtype=float)
        target = additive_values(objective.name, measured, objective.log)
        if columns and np.ptp(target) > 0:
            found.append(_importance(objective, columns, target))
    return found


def _importance(
    objective: Objective, columns: Mapping[str, np.ndarray], target: np.ndarray
) -> Importance:
    alone = {name: predicted_r2([block], target, 1.0) for name, block in columns.items()}
    names = sorted(alone, key=lambda name: -alone[name])[:MOST]
    every = [columns[name] for name in names]
    ridge = max(_RIDGES, key=lambda strength: predicted_r2(every, target, strength))
    worth = {
        chosen: predicted_r2([columns[name] for name in chosen], target, ridge)
        for size in range(len(names) + 1)
        for chosen in combinations(names, size)
    }
    predicted = max(0.0, worth[tuple(names)])
    values = {name: max(0.0, _shapley(name, names, worth)) for name in names}
    scale = predicted / (sum(values.values()) or 1.0)
    largest = sorted(values.items(), key=lambda item: -item[1])
    return Importance(objective, predicted, {name: value * scale for name, value in largest})


def predicted_r2(blocks: Sequence[np.ndarray], target: np.ndarray, ridge: float) -> float:
    """Return 1 - PRESS / sum of squares of a ridge regression; 0 without a column.

    Args:
        blocks: arrays of (n, k), not centred.
        target: (n,), not constant.
        ridge: added to the diagonal, for columns of variance 1; above 0.
    """
    if not blocks:
        return 0.0
    x = np.column_stack(blocks)
    x = x - x.mean(axis=0)
    x = x / np.sqrt((x**2).mean(axis=0))
    y = target - target.mean()
    hat = x @ np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T)
    leverage = np.diag(hat) + 1 / len(y)
    left_out = (y - hat @ y) / (1 - np.minimum(leverage, 1 - 1e-6))
    alone = y / (1 - 1 / len(y))  # the mean of the others: what is known without any setting
    return float(1 - (left_out**2).sum() / (alone**2).sum())


def _shapley(name: str, names: Sequence[str], worth: Mapping[tuple[str, ...], float]) -> float:
    """Return what ``name`` adds, averaged over all orders in which the settings become known."""
    others = [one for one in names if one != name]
    total = 0.0
    for size in range(len(others) + 1):
        weight = 1 / (len(names) * math.comb(len(others), size))
        for before in combinations(others, size):
            with_it = tuple(one for one in names if one in before or one == name)
            total += weight * (worth[with_it] - worth[before])
    return total
