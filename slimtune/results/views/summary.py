"""All trials of a run, one row per pipeline: the result of a grid over methods and seeds."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from slimtune.errors import UnknownNameError, did_you_mean
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.run import Run
from slimtune.results.store.record import TrialRecord
from slimtune.results.units import (
    UNSTABLE,
    accuracy,
    change,
    count,
    is_missing,
    number,
    percent,
    times,
)

DEFAULT_COLUMNS = ("pipeline", "accuracy", "size_bytes", "compression_ratio", "latency_ms")
_RATIO_OF = {
    "compression_ratio": "size_bytes",
    "speedup": "latency_ms",
    "macs_ratio": "macs",
    "bops_ratio": "bops",
}
_BESIDE = ("runs", "accuracy_sd", "latency_stable")
"""Columns that describe other columns."""
_TITLES = {
    "size_bytes": "size KiB",
    "compression_ratio": "ratio",
    "latency_ms": "latency ms",
    "accuracy_change": "change",
    "nonzero": "non-zero",
    "packed_bytes": "packed KiB",
    "macs": "MACs",
    "bops": "BOPs",
    "macs_ratio": "MACs ratio",
    "bops_ratio": "BOPs ratio",
    "macs_removed": "MACs gone",
    "params_removed": "params gone",
}


def summarise(run: Run, columns: Sequence[str] = DEFAULT_COLUMNS) -> pd.DataFrame:
    """Return one row per pipeline, the baseline first, then in the order of the trials.

    Args:
        run: a finished run, or one that goes on.
        columns: ``pipeline``; settings of the recipe by their dotted name, such as
            ``prune.amount``; objectives and metrics; ``compression_ratio``, ``speedup``,
            ``macs_ratio`` and ``bops_ratio``: the baseline's value over this one's;
            ``accuracy_change``: the difference to the baseline's.

    Returns:
        The columns, with measured values as means over the trials of the pipeline; ``runs``, the
        number of trials; and ``accuracy_sd``, their sample standard deviation (NaN for a single
        one). A setting that a recipe does not have is empty. Finals follow the trials in rows of
        their own; then the column ``final`` has their length in epochs, and 0 for trials. Means of
        latencies are over the stable ones; if there are none, ``latency_stable`` is False.

    Raises:
        UnknownNameError: a column that no trial of the run has.
        RunError: a record is damaged.
    """
    lengths = [(0, records) for records in repeats_by_recipe(run)] + finals_by_member(run)
    groups = [records for _, records in lengths]
    baseline = _means([run.baseline]) if (run.path / "baseline").is_dir() else {}
    _check_columns(columns, [records[0] for records in groups], baseline)
    rows = [{"runs": 1, **_row(columns, {}, baseline, baseline)}] if baseline else []
    if rows and "." in columns[0]:
        rows[0][columns[0]] = "baseline"
    for records in groups:
        values = _means([record.to_dict() for record in records])
        row = _row(columns, records[0].to_dict(), values, baseline)
        rows.append({"runs": len(records), **row})
    stable = ["latency_stable"] if {"latency_ms", "speedup"} & {*columns} else []
    table = pd.DataFrame(rows, columns=[*columns, "runs", "accuracy_sd", *stable])
    if any(length for length, _ in lengths):
        first = [0] * (len(rows) - len(groups))
        table.insert(1, "final", [*first, *(length for length, _ in lengths)])
    return table


def finals_by_member(run: Run) -> list[tuple[int, list[TrialRecord]]]:
    """Return the complete finals, those of one member and length together, after that length.

    Raises:
        RunError: a record is damaged.
    """
    groups: dict[tuple[int, int], list[TrialRecord]] = {}
    for key, record in run.finals().items():
        if record.status == "complete":
            groups.setdefault((key.epochs, key.trial), []).append(record)
    return [(epochs, groups[epochs, trial]) for epochs, trial in sorted(groups)]


def repeats_by_recipe(run: Run) -> list[list[TrialRecord]]:
    """Return the complete trials, those of one recipe together, in the order of the first.

    Raises:
        RunError: a record is damaged.
    """
    groups: dict[str, list[TrialRecord]] = {}
    for record in run.records:
        if record.status == "complete":
            groups.setdefault(json.dumps(record.recipe, sort_keys=True), []).append(record)
    return list(groups.values())


def summary_table(summary: pd.DataFrame) -> Table:
    """Return a summary as a table for people: sizes in KiB, accuracies with their spread."""
    spread = bool(summary["accuracy_sd"].notna().any())
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [name for name in summary.columns if name not in _BESIDE]
    for name in shown:
        left = name == "pipeline" or "." in name
        justify: Literal["left", "right"] = "left" if left else "right"
        table.add_column(_title(name), justify=justify, overflow="fold", no_wrap=not left)
    if spread:
        table.add_column("runs", justify="right")
    for row in summary.to_dict("records"):
        cells = [Text(_cell(name, row)) for name in shown]
        table.add_row(*cells, *([Text(str(row["runs"]))] if spread else []))
    notes = []
    if spread:
        notes.append("accuracy: mean ± sample standard deviation over the runs, on validation")
    if "latency_stable" in summary and not summary["latency_stable"].all():
        notes.append(UNSTABLE)
    table.caption = "\n".join(notes) or None
    return table


def _row(
    columns: Sequence[str],
    record: Mapping[str, Any],
    values: Mapping[str, float],
    baseline: Mapping[str, float],
) -> dict[str, Any]:
    row: dict[str, Any] = {"accuracy_sd": values.get("accuracy_sd", math.nan)}
    row["latency_stable"] = bool(values.get("latency_stable", True))
    for name in columns:
        if name == "pipeline":
            row[name] = record.get("pipeline", "baseline")
        elif "." in name:
            row[name] = _setting(record.get("recipe", {}), name)
        elif name in _RATIO_OF:
            row[name] = _over(baseline, values, _RATIO_OF[name])
        elif name == "accuracy_change":
            row[name] = values.get("accuracy", math.nan) - baseline.get("accuracy", math.nan)
        else:
            row[name] = values.get(name, math.nan)
    return row


def _means(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the means of what was measured, and the spread of accuracy."""
    table = pd.DataFrame([{**r["objectives"], **r.get("metrics", {})} for r in records])
    numbers = table.select_dtypes("number")
    means = {str(name): float(value) for name, value in numbers.mean().items()}
    stable = np.array([r.get("metrics", {}).get("latency_stable") is not False for r in records])
    if "latency_ms" in means and stable.any():
        means["latency_ms"] = float(table["latency_ms"][stable].mean())
    spread = table["accuracy"].std(ddof=1) if "accuracy" in table else math.nan
    return {**means, "accuracy_sd": float(spread), "latency_stable": bool(stable.any())}


def _setting(recipe: Mapping[str, Any], dotted: str) -> Any:
    value: Any = recipe
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None or value == "none" else value


def _over(baseline: Mapping[str, float], values: Mapping[str, float], name: str) -> float:
    below = values.get(name, math.nan)
    return baseline.get(name, math.nan) / below if below else math.nan


def _check_columns(
    columns: Sequence[str], records: Sequence[TrialRecord], baseline: Mapping[str, float]
) -> None:
    measured = {name for r in records for name in (*r.objectives, *r.metrics)} | set(baseline)
    choices = {"pipeline", "accuracy_change", *_RATIO_OF, *measured}
    stages = {stage for record in records for stage in record.recipe}
    for name in columns:
        if name not in choices and name.split(".")[0] not in stages:
            raise UnknownNameError(
                f"no trial has the column '{name}'.{did_you_mean(name, choices)} "
                f"Known: {', '.join(sorted(choices))}, and settings such as prune.amount."
            )


def _title(name: str) -> str:
    stage, _, key = name.partition(".")
    if key:
        return stage if key == "method" else key
    return _TITLES.get(name, name)


_FORMS: dict[str, Callable[[float], str]] = {
    "accuracy_change": lambda value: change(OBJECTIVES["accuracy"], value, ratio=False),
    "sparsity": percent,
    "macs_removed": percent,
    "params_removed": percent,
    "packed_bytes": lambda value: number(OBJECTIVES["size_bytes"], value),
    **dict.fromkeys(_RATIO_OF, times),
}
"""Of columns that are no objectives; a count where there is none."""


def _cell(name: str, row: Mapping[Any, Any]) -> str:
    value = row[name]
    if name == "final":
        return f"{value} epochs" if value else ""
    if isinstance(value, str) or "." in name:
        return str(value)
    if is_missing(value):
        return ""
    if row.get("latency_stable") is False and name in ("latency_ms", "speedup"):
        return "" if name == "speedup" else f"{_text(name, value)} ~"
    return accuracy(value, row["accuracy_sd"]) if name == "accuracy" else _text(name, value)


def _text(name: str, value: float) -> str:
    if name in OBJECTIVES:
        return number(OBJECTIVES[name], value)
    return _FORMS.get(name, count)(value)
