"""``slimtune front``: the Pareto front of a run, or what of it fits, for people or programs."""

from pathlib import Path

import click
import pandas as pd

from slimtune.cli.choosing import PICKS, limit_options, resolved
from slimtune.cli.console import json_option, log_console, result_console, write_or_echo
from slimtune.cli.state import State
from slimtune.errors import NothingMatchesError
from slimtune.results.output import write_output
from slimtune.results.run import Run, open_run
from slimtune.results.selection import matching, pick_row
from slimtune.results.tables import front_csv, front_json, front_parquet, front_table

EPILOG = "Example: slimtune front runs/demo --max-latency 0.5x --pick size"
STYLES = ("table", "json", "csv", "parquet")


@click.command("front", epilog=EPILOG)
@click.argument("run", type=Path)
@limit_options
@click.option("--pick", type=click.Choice(PICKS), help="Show one member: the knee, or the best.")
@click.option("--all", "everything", is_flag=True, help="Show dominated trials as well.")
@click.option(
    "--format",
    "style",
    type=click.Choice(STYLES),
    help="A table for people, or every column; default: by the name of FILE, else a table.",
)
@click.option("-o", "--output", type=Path, metavar="FILE", help="Write to FILE instead.")
@json_option
@click.pass_obj
def command(
    state: State,
    run: Path,
    min_accuracy: str | None,
    max_latency: str | None,
    max_size: str | None,
    pick: str | None,
    everything: bool,
    style: str | None,
    output: Path | None,
) -> None:
    """Show the Pareto front of RUN: the trials that no other trial dominates.

    Limits leave the members that keep them; when none does, the nearest miss is named and the
    exit code is 3. Accuracies are of validation images, with their standard errors.
    """
    if pick and everything:
        raise click.UsageError("--pick shows one member and --all shows all; give one.")
    style = style or _style_of(output) or ("json" if state.json else "table")
    if style == "parquet" and output is None:
        raise click.UsageError("--format parquet is no text: give -o FILE.parquet as well.")
    opened = open_run(run)
    opened = opened.at(opened.records)
    limits = {"min_accuracy": min_accuracy, "max_latency": max_latency, "max_size": max_size}
    table = _rows(opened, limits, pick, everything, complete=style == "table")
    if style == "table" and output is None:
        result_console(state).print(front_table(opened, table))
        _tell_others(state, opened, everything)
    elif style == "parquet" and output is not None:
        write_output(output, front_parquet(opened, table))
    else:
        write_or_echo(_text(state, opened, style, table), output)


def _rows(
    run: Run,
    limits: dict[str, str | None],
    how: str | None,
    everything: bool,
    complete: bool,
) -> pd.DataFrame:
    """Return the rows that are asked for.

    Raises:
        NothingMatchesError: there is none.
    """
    front = run.trials() if everything else run.front()
    if everything and (complete or any(limits.values())):
        front = front[front["status"] == "complete"].reset_index(drop=True)
    if front.empty and (missed := run.nearest_miss()):
        raise NothingMatchesError(missed)
    bounds = resolved(limits, run.baseline_values(front))
    kept = matching(front, bounds)
    if how is not None:
        return front.iloc[[pick_row(front, how, bounds)]].reset_index(drop=True)
    return front[kept].reset_index(drop=True)


def _style_of(output: Path | None) -> str | None:
    """Return the format that a file's name asks for, if any."""
    suffix = "" if output is None else output.suffix.lower().lstrip(".")
    return suffix if suffix in STYLES else None


def _tell_others(state: State, run: Run, everything: bool) -> None:
    """Say on standard error what became of the trials that the table leaves out."""
    counts = {"failed": 0, "stopped": 0}
    for record in run.records:
        if record.status in counts:
            counts[record.status] += 1
    told = [f"{count} {status}" for status, count in counts.items() if count]
    if everything and told:
        text = f"not shown: {', '.join(told)}; --format json lists them, and why"
        log_console(state).print(text, markup=False, soft_wrap=True)


def _text(state: State, run: Run, style: str, table: pd.DataFrame) -> str:
    if style == "json":
        return front_json(run, table)
    if style == "csv":
        return front_csv(run, table)
    console = result_console(state)
    with console.capture() as capture:
        console.print(front_table(run, table))
    return click.unstyle(capture.get())
