"""Records as a table: one row per trial, one column per objective."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from slimtune.results.objectives import Objective
from slimtune.results.pareto.limits import may_keep
from slimtune.results.pareto.selection import front_knee
from slimtune.results.store.record import TrialRecord

RATIOS = {"size_bytes": "size_ratio", "latency_ms": "latency_ratio"}


def values_of(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> np.ndarray:
    """Return the objectives of n trials, float64 (n, m); NaN for one that was not measured."""
    rows = [[r.objectives.get(o.name, np.nan) for o in objectives] for r in records]
    return np.array(rows, dtype=float).reshape(len(records), len(objectives))


def table_of(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> pd.DataFrame:
    """Return ``trial``, a column per objective (integers for counts), and ``pipeline``.

    With a latency comes ``stable``: whether the machine was quiet enough to measure it.
    """
    columns: dict[str, Any] = {"trial": np.array([r.number for r in records], dtype=int)}
    for objective, column in zip(objectives, values_of(records, objectives).T, strict=True):
        whole = objective.whole and np.isfinite(column).all()
        columns[objective.name] = column.round().astype("int64") if whole else column
    columns["pipeline"] = pd.Series([r.pipeline for r in records], dtype=object)
    if "latency_ms" in columns:
        columns["stable"] = [record.stable for record in records]
    return pd.DataFrame(columns)


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows, each as column -> value."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def within_limits(table: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Return the rows that may satisfy the limits; limits without a column are ignored."""
    shown = {name: limit for name, limit in limits.items() if name in table}
    return table[np.array([may_keep(shown, row) for row in rows_of(table)], dtype=bool)]


def best_first(table: pd.DataFrame, objectives: Sequence[Objective]) -> pd.DataFrame:
    """Return a front sorted by the maximized objectives, the best first; finals by their mean."""
    down = ["accuracy_mean"] if "accuracy_mean" in table else []
    down += [o.name for o in objectives if o.direction == "maximize"]
    ascending = [False] * len(down) + [True]
    return table.sort_values([*down, "trial"], ascending=ascending, ignore_index=True)


def with_knee(table: pd.DataFrame, baseline: Mapping[str, float]) -> pd.DataFrame:
    """Add ``knee``, ``size_ratio`` and ``latency_ratio`` to a front, in place; see `Run.front`.

    Args:
        table: with caveats; see `results.pareto.caveats`.
        baseline: from `Run.baseline_values`.
    """
    position = front_knee(table) if len(table) else -1
    table["knee"] = np.arange(len(table)) == position
    for name, ratio in RATIOS.items():
        if name in table and name in baseline:
            table[ratio] = baseline[name] / table[name]
    return table
