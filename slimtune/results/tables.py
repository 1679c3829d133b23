"""A front for people and for other programs: a table, JSON, CSV."""

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from slimtune.results.objectives import OBJECTIVES
from slimtune.results.run import Run

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_Show = Callable[[dict[Any, Any]], str]
_ARROWS = {"minimize": "↓", "maximize": "↑"}


def front_table(run: Run) -> Table:
    """Return the front as a table that fits in 100 columns, the baseline in the first row.

    Sizes are in KiB and latencies in ms, each with how many times smaller or faster than the
    baseline; accuracies are of the validation split, and of the test split with its standard
    error where it was measured. ◆ marks the knee.

    Raises:
        RunError: a record of the run is damaged.
    """
    front = run.front()
    columns = _columns(front)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trial", justify="right", no_wrap=True)
    for title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("pipeline", overflow="fold", min_width=12)
    rows: list[dict[Any, Any]] = list(front.to_dict("records"))
    if baseline := run.baseline_values(front):
        rows.insert(0, {"trial": "-", "pipeline": "baseline", **baseline})
    for row in rows:
        name = "◆ " if row.get("knee") is True else ""
        cells = [Text(show(row)) for _, show in columns]
        # Text, not markup: a pipeline may hold brackets.
        table.add_row(Text(f"{name}{row['trial']}"), *cells, Text(str(row["pipeline"])))
    if any(row.get("stable") is False for row in rows):
        table.caption = "~ the machine was too busy for a stable latency"
    return table


def front_json(run: Run) -> str:
    """Return the front as a JSON list of objects with the columns of `Run.front`.

    A value that was not measured is null.

    Raises:
        RunError: a record of the run is damaged.
    """
    rows = [{key: _json(v) for key, v in row.items()} for row in run.front().to_dict("records")]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)


def front_csv(run: Run) -> str:
    """Return the front as CSV with the columns of `Run.front`.

    Text that a spreadsheet would run as a formula (it starts with = + - @ or a control character)
    gets a leading apostrophe.

    Raises:
        RunError: a record of the run is damaged.
    """
    front = run.front()
    front["pipeline"] = [_cell(text) for text in front["pipeline"]]
    return front.to_csv(index=False, lineterminator="\n")


def _columns(front: pd.DataFrame) -> list[tuple[str, _Show]]:
    """Return a heading and a cell for each column between the trial and the pipeline."""
    columns: list[tuple[str, _Show]] = []
    for known in (OBJECTIVES[name] for name in front.columns if name in OBJECTIVES):
        arrow = _ARROWS[known.direction]
        if known.name == "accuracy":
            columns.append((f"accuracy {arrow}", partial(_number, key="accuracy", form=".4f")))
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
    if "accuracy" not in front and "test_accuracy" in front:
        columns.append(("test accuracy ↑", _test))
    return columns


def _number(row: dict[Any, Any], key: str, form: str) -> str:
    value = row.get(key)
    return "" if value is None or math.isnan(value) else format(value, form)


def _test(row: dict[Any, Any]) -> str:
    error = _number(row, "test_standard_error", ".4f")
    return _number(row, "test_accuracy", ".4f") + (f" ± {error}" if error else "")


def _size(row: dict[Any, Any]) -> str:
    kib = {"kib": row["size_bytes"] / 1024} if row.get("size_bytes") is not None else {}
    return _number(kib, "kib", ".1f") + _ratio(row, "size_ratio")


def _latency(row: dict[Any, Any]) -> str:
    unstable = " ~" if row.get("stable") is False else ""
    return _number(row, "latency_ms", ".3f") + unstable + _ratio(row, "latency_ratio")


def _ratio(row: dict[Any, Any], key: str) -> str:
    ratio = _number(row, key, ".1f")
    return f" ({ratio}×)" if ratio else ""


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
