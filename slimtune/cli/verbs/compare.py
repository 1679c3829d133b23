"""``slimtune compare``: measure models side by side, from slimtune or other tools."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from slimtune.cli.config.consent import consent_to
from slimtune.cli.screen.console import plain_table, result_console
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.results.units import (
    MISSING,
    UNSTABLE,
    accuracy,
    count,
    latency,
    percent,
    plural,
    size,
    times,
)
from slimtune.results.views.tables import no_formula
from slimtune.search.review.compare import Compared, compare_models


def carry_out(
    state: State,
    /,
    *,
    models: tuple[str, ...],
    data: str | None,
    run: Path | None,
    threads: int,
    style: str,
) -> None:
    """Measure models and print them side by side."""
    if data is not None and run is not None:
        raise click.UsageError("Give --data or --run, not both.")
    consent_to({"data": data or ""})
    for model in models:
        consent_to({"model": model.partition("=")[0]})
    rows = compare_models(models, data, run, threads)
    if style == "json":
        echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif style == "csv":
        echo(_csv(rows), nl=False)
    else:
        result_console(state).print(_table(rows, threads))
        if rows[0].test_accuracy is None:
            echo("no accuracy: give --data or --run", err=True)


def _csv(rows: Sequence[Compared]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Compared)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**asdict(row), "model": no_formula(row.model)} for row in rows)
    return text.getvalue()


_Show = Callable[[Compared], str]


def _table(rows: Sequence[Compared], threads: int) -> Table:
    table = plain_table("", "")
    table.title = None
    for name in _short_names([row.model for row in rows]):
        table.add_column(name, justify="right", overflow="fold")
    lines: list[tuple[str, _Show]] = [
        ("file", lambda row: size(row.size_bytes)),
        ("compression", lambda row: times(row.compression_ratio)),
        ("params", lambda row: count(row.params)),
        ("non-zero", lambda row: count(row.nonzero)),
        ("sparsity", lambda row: percent(row.sparsity)),
        ("MACs", lambda row: _count(row.macs)),
        ("BOPs", lambda row: _count(row.bops)),
        ("packed", lambda row: size(row.packed_bytes)),
        ("test accuracy", lambda row: _fraction(row.test_accuracy)),
        ("± standard error", lambda row: _fraction(row.test_standard_error)),
        ("latency", _latency),
    ]
    for title, show in lines:
        table.add_row(title, *(Text(show(row)) for row in rows))
    images = rows[0].test_images
    tested = "" if images is None else f"accuracy on {images} images; "
    table.caption = f"{tested}latency of 1 image on {plural(threads, 'thread')}, in turn"
    if not all(row.latency_stable for row in rows):
        table.caption += f"\n{UNSTABLE}"
    return table


def _latency(row: Compared) -> str:
    of = f" of {row.latency_batch} images" if row.latency_batch > 1 else ""
    return latency(row.latency_ms, row.latency_stable) + of


def _fraction(share: float | None) -> str:
    return MISSING if share is None else accuracy(share)


def _count(number: float | None) -> str:
    return MISSING if number is None else count(number)


def _short_names(models: Sequence[str]) -> list[Text]:
    """Return the last part of each path, or as much of it as tells the models apart."""
    for parts in (1, 2, 3):
        names = ["/".join(Path(model).parts[-parts:]) for model in models]
        if len(set(names)) == len(names):
            return [Text(name) for name in names]
    return [Text(model) for model in models]
