"""A front, or all trials, for people and for other programs: a table, JSON, CSV, Parquet."""

import io
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from slimtune.results.interval import trusted_error
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.pareto.caveats import like_the_baseline
from slimtune.results.run import Run
from slimtune.results.store.finals import FinalKey
from slimtune.results.units import UNSTABLE, plural
from slimtune.results.views.front_layout import FrontTable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_Show = Callable[[dict[Any, Any]], str]
_ARROWS = {"minimize": "↓", "maximize": "↑"}


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
    rows = _records(front)
    if baseline:
        rows.insert(0, {"trial": "-", "pipeline": "baseline", **_with_error(run, baseline)})
    columns = [["trial", *(_mark(row) + str(row["trial"]) for row in rows)]]
    columns += [[title, *map(show, rows)] for title, show in _columns(front)]
    pipelines = [str(row["pipeline"]) for row in rows]
    return FrontTable(columns, pipelines, footnotes(front, baseline, run.manifest["workload"]))


def _finals_notes(rows: list[dict[Any, Any]]) -> list[str]:
    finals = [row for row in rows if isinstance(row.get("final"), str)]
    if not finals:
        return []
    length = plural(max(FinalKey.parse(row["final"]).epochs for row in finals), "epoch")
    if not any(_spread(row, "accuracy") for row in finals):
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
    if same := like_the_baseline(front, baseline, images):
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


def _mark(row: Mapping[Any, Any]) -> str:
    if row.get("knee") is True:
        return "◆ "
    if row.get("collapsed") is True:
        return "✗ "
    return "• " if row.get("on_front") is True else ""


def _with_error(run: Run, baseline: Mapping[str, float]) -> dict[str, Any]:
    """Return what the baseline measured, with its record's own standard error."""
    recorded = run.baseline.get("metrics", {}).get("accuracy_standard_error")
    images = run.manifest["workload"].get("validation")
    error = trusted_error(recorded, baseline.get("accuracy"), images)
    return {**baseline, **({} if math.isnan(error) else {"accuracy_standard_error": error})}


def _columns(front: pd.DataFrame) -> list[tuple[str, _Show]]:
    """Return a heading and a cell for each column between the trial and the pipeline."""
    columns: list[tuple[str, _Show]] = []
    for known in (OBJECTIVES[name] for name in front.columns if name in OBJECTIVES):
        arrow = _ARROWS[known.direction]
        if known.name == "accuracy":
            columns.append((f"accuracy {arrow}", partial(_with_bar, key="accuracy")))
            if "test_accuracy" in front:
                columns.append((f"test {arrow}", _test))
        elif known.name == "size_bytes":
            columns.append((f"size KiB {arrow}", _size))
        elif known.name == "latency_ms":
            columns.append((f"latency ms {arrow}", _latency))
        else:
            columns.append(
                (f"{known.title} {arrow}", partial(_number, key=known.name, form=".4g"))
            )
    if "within_noise_of" in front and front["within_noise_of"].notna().any():
        columns.append(("≈", _twin))
    if "accuracy" not in front and "test_accuracy" in front:
        columns.append(("test accuracy ↑", _test))
    return columns


def _number(row: dict[Any, Any], key: str, form: str) -> str:
    value = row.get(key)
    return "" if value is None or math.isnan(value) else format(value, form)


def _spread(row: dict[Any, Any], name: str) -> str:
    """Return mean and sample standard deviation over the finals, where there are several."""
    deviation = _number(row, f"{name}_sd", ".4f")
    return f"{_number(row, f'{name}_mean', '.4f')} ± {deviation}" if deviation else ""


def _with_bar(row: dict[Any, Any], key: str) -> str:
    if spread := _spread(row, key):
        return spread
    error = _number(row, f"{key}_standard_error", ".4f")
    return _number(row, key, ".4f") + (f" ± {error}" if error else "")


def _test(row: dict[Any, Any]) -> str:
    if spread := _spread(row, "test_accuracy"):
        return spread
    error = _number(row, "test_standard_error", ".4f")
    return _number(row, "test_accuracy", ".4f") + (f" ± {error}" if error else "")


def _twin(row: dict[Any, Any]) -> str:
    number = row.get("within_noise_of")
    return "" if number is None or number is pd.NA else f"≈{number}"


def _size(row: dict[Any, Any]) -> str:
    kib = {"kib": row["size_bytes"] / 1024} if row.get("size_bytes") is not None else {}
    return _number(kib, "kib", ".1f") + _ratio(row, "size_ratio")


def _latency(row: dict[Any, Any]) -> str:
    text = _number(row, "latency_ms", ".3f")
    if row.get("stable") is False:  # of what may be too high, no ratio is told
        return f"{text} ~"
    return text + _ratio(row, "latency_ratio")


def _ratio(row: dict[Any, Any], key: str) -> str:
    ratio = _number(row, key, ".1f")
    return f" ({ratio}×)" if ratio else ""


def _json(value: Any) -> Any:
    missing = value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
    return None if missing else value


def no_formula(text: Any) -> Any:
    """Return text that a spreadsheet would run as a formula with an apostrophe before it."""
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text
