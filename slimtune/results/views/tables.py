"""A front, or all trials, for people and for other programs: a table, JSON, CSV, Parquet."""

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from slimtune.results.interval import trusted_error
from slimtune.results.pareto.caveats import without_loss
from slimtune.results.run import Run
from slimtune.results.store.finals import FinalKey
from slimtune.results.units import UNSTABLE, is_missing, plural
from slimtune.results.views.columns import Cell, front_columns, mark
from slimtune.results.views.front_layout import FilledColumn, FrontTable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def front_table(run: Run, front: pd.DataFrame | None = None) -> FrontTable:
    """Return the front as a table that fits the console, the baseline in the first row.

    Sizes are in KiB and latencies in ms, each with how many times smaller or faster than the
    baseline; accuracies are of the validation split, and of the test split where it was measured,
    with their standard errors; after finals with several seeds, mean and standard deviation of
    both over the seeds. The lines below the table say what its marks mean.

    Args:
        run: the run.
        front: rows of `Run.front`, or the complete ones of `Run.trials`; None for the front.

    Raises:
        RunError: a record of the run is damaged.
    """
    front = run.front() if front is None else front
    baseline = run.baseline_values(front)
    rows = front_rows(run, front, baseline)
    columns = [FilledColumn("trial", [Cell(mark(row) + str(row["trial"])) for row in rows])]
    columns += [FilledColumn(c.heading, list(map(c.cell, rows))) for c in front_columns(front)]
    pipelines = [str(row["pipeline"]) for row in rows]
    return FrontTable(columns, pipelines, footnotes(front, baseline, run.manifest["workload"]))


def front_rows(
    run: Run, front: pd.DataFrame, baseline: Mapping[str, float]
) -> list[dict[Any, Any]]:
    """Return the rows that a front's table shows: the baseline's, if known, and the members'.

    Args:
        run: the run.
        front: rows of `Run.front` or `Run.trials`.
        baseline: from `Run.baseline_values`.
    """
    rows = _records(front)
    if baseline:
        rows.insert(0, {"trial": "-", "pipeline": "baseline", **_with_error(run, baseline)})
    return rows


def _finals_notes(rows: list[dict[Any, Any]]) -> list[str]:
    finals = [row for row in rows if isinstance(row.get("final"), str)]
    if not finals:
        return []
    length = plural(max(FinalKey.parse(row["final"]).epochs for row in finals), "epoch")
    if all(is_missing(row.get("accuracy_sd")) for row in finals):
        return [f"members: finals, of {length}, with another seed than the trial's"]
    seeds = max(row["repeats"] for row in finals)
    return [
        f"accuracy, test: mean ± standard deviation of {seeds} finals ({length}, other "
        "seeds than the trial's); size, latency: of the median one, which ships"
    ]


def footnotes(
    front: pd.DataFrame, baseline: Mapping[str, float], workload: Mapping[str, Any]
) -> list[str]:
    """Return what the marks of a table mean, those of them that it has, one a line.

    Args:
        front: rows of `Run.front` or `Run.trials`.
        baseline: from `Run.baseline_values`.
        workload: of run.json.
    """
    notes = _finals_notes(_records(front))
    if "within_noise_of" in front and front["within_noise_of"].notna().any():
        notes.append(
            "≈N within noise of trial N, which is at least as good in all else: their accuracies "
            "differ by at most one standard error of the difference"
        )
    if "collapsed" in front and front["collapsed"].any():
        notes.append(
            "✗ accuracy less than half as far above chance as the baseline's: never the knee, "
            "picked only with a minimum accuracy"
        )
    images = workload.get("validation")
    if same := without_loss(front, baseline, images):
        numbers = ", ".join(map(str, same))
        notes.append(f"no measurable loss against the baseline ({images} images): {numbers}")
    if "stable" in front and (front["stable"] == False).any():  # noqa: E712 - a column
        notes.append(UNSTABLE)
    return notes


def front_json(run: Run, front: pd.DataFrame | None = None) -> str:
    """Return the front as a JSON list of objects with the columns of `Run.front`.

    A value that was not measured is null.

    Args:
        run: the run.
        front: other rows than the front's.

    Raises:
        RunError: a record of the run is damaged.
    """
    table = run.front() if front is None else front
    rows = [{key: _json(v) for key, v in row.items()} for row in _records(table)]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)


def front_csv(run: Run, front: pd.DataFrame | None = None) -> str:
    """Return the front as CSV with the columns of `Run.front`.

    Text that a spreadsheet would run as a formula (it starts with = + - @ or a control character)
    gets a leading apostrophe.

    Args:
        run: the run.
        front: other rows than the front's.

    Raises:
        RunError: a record of the run is damaged.
    """
    table = (run.front() if front is None else front).copy()
    for name in table.columns.intersection(["pipeline", "error"]):
        table[name] = [no_formula(text) for text in table[name]]
    return table.to_csv(index=False, lineterminator="\n")


def front_parquet(run: Run, front: pd.DataFrame | None = None) -> bytes:
    """Return the front as a Parquet file with the columns of `Run.front`.

    Args:
        run: the run.
        front: other rows than the front's.

    Raises:
        RunError: a record of the run is damaged.
    """
    file = io.BytesIO()
    (run.front() if front is None else front).to_parquet(file, index=False)
    return file.getvalue()


def _records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return list(table.to_dict("records"))


def _with_error(run: Run, baseline: Mapping[str, float]) -> dict[str, Any]:
    """Return what the baseline measured, with its record's own standard error."""
    recorded = run.baseline.get("metrics", {}).get("accuracy_standard_error")
    images = run.manifest["workload"].get("validation")
    error = trusted_error(recorded, baseline.get("accuracy"), images)
    return {**baseline, **({} if math.isnan(error) else {"accuracy_standard_error": error})}


def _json(value: Any) -> Any:
    missing = value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
    return None if missing else value


def no_formula(text: Any) -> Any:
    """Return text that a spreadsheet would run as a formula with an apostrophe before it."""
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text
