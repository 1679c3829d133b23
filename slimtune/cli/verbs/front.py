"""``slimtune front``: show a run's Pareto front, or its members within limits, in any format."""

from pathlib import Path

import click
import pandas as pd

from slimtune.cli.options.choosing import PICKS, given_limits, limit_options
from slimtune.cli.screen.console import json_option, log_console, result_console, write_or_echo
from slimtune.cli.state import State
from slimtune.results.limit_words import limits_words
from slimtune.results.pareto.limit_view import parse_limits, resolve
from slimtune.results.pareto.limits import LIMITED
from slimtune.results.pareto.selection import members_within
from slimtune.results.run import Run, open_run
from slimtune.results.store.output import write_output
from slimtune.results.units import plural
from slimtune.results.views.tables import front_csv, front_json, front_parquet, front_table

EPILOG = "Example: slimtune front runs/demo --max-latency 0.5x --pick size"
OPTIONS = {quantity: f"--{name.replace('_', '-')}" for name, quantity in LIMITED.items()}
"""A measured quantity -> the option that limits it."""
STYLES = ("table", "json", "csv", "parquet")


@click.command("front", epilog=EPILOG)
@click.argument("run", type=Path)
@limit_options
@click.option(
    "--pick",
    type=click.Choice(PICKS),
    help="Show one member: the knee, or the best in one objective.",
)
@click.option("--all", "everything", is_flag=True, help="Also show dominated trials.")
@click.option(
    "--format",
    "style",
    type=click.Choice(STYLES),
    help="A table to read, or every column; default: by the name of FILE, else a table.",
)
@click.option(
    "-o", "--output", type=Path, metavar="FILE", help="Write to FILE instead of the terminal."
)
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
    """Show the Pareto front of RUN, or only the members within your limits.

    A limit that you give replaces the search's own, whether tighter or looser; none removes it.
    If no trial is within the limits, slimtune names the nearest miss and exits with code 3.
    Accuracies are those on validation images, with their standard errors.
    """
    if pick and everything:
        raise click.UsageError("--pick shows one member and --all shows all; give one.")
    style = style or _style_of(output) or ("json" if state.json else "table")
    if style == "parquet" and output is None:
        raise click.UsageError("--format parquet is not text: add -o FILE.parquet.")
    opened = open_run(run)
    opened = opened.at(opened.records)
    limits = given_limits(
        {"min_accuracy": min_accuracy, "max_latency": max_latency, "max_size": max_size}
    )
    view = opened.within(limits)
    if everything:
        table = _all_rows(opened, limits, complete=style == "table")
    else:
        table = _members(view, pick)
    if style == "table" and output is None:
        result_console(state).print(front_table(opened, table))
        if everything:
            _tell_others(state, opened)
        else:
            _tell_limits(state, opened, view)
    elif style == "parquet" and output is not None:
        write_output(output, front_parquet(opened, table))
    else:
        write_or_echo(_text(state, opened, style, table), output)


def _members(run: Run, how: str | None) -> pd.DataFrame:
    """Return the front, or the one member that ``how`` picks.

    Raises:
        NothingMatchesError: no trial is within the limits.
    """
    front = run.front()
    if how is not None or front.empty:
        number = run.pick(how or "knee").number  # says why, if the front is empty
        front = front[front["trial"] == number].reset_index(drop=True)
    return front


def _all_rows(run: Run, limits: dict[str, str], complete: bool) -> pd.DataFrame:
    """Return all trials within the limits that were typed; the search's own do not count.

    Raises:
        NothingMatchesError: there is no such trial.
    """
    trials = run.trials()
    if complete or limits:
        trials = trials[trials["status"] == "complete"].reset_index(drop=True)
    asked = parse_limits(limits)
    texts = {LIMITED[name]: text for name, text in asked.items() if text is not None}
    kept = members_within(trials, resolve(asked, run.baseline_values(trials)), texts)
    return trials[kept].reset_index(drop=True)


def _style_of(output: Path | None) -> str | None:
    """Return the format that a file's name implies, if any."""
    suffix = "" if output is None else output.suffix.lower().lstrip(".")
    return suffix if suffix in STYLES else None


def _tell_others(state: State, run: Run) -> None:
    """Print on standard error how many failed and stopped trials the table leaves out."""
    counts = {"failed": 0, "stopped": 0}
    for record in run.records:
        if record.status in counts:
            counts[record.status] += 1
    parts = [f"{count} {status}" for status, count in counts.items() if count]
    if parts:
        text = f"not shown: {', '.join(parts)}; --format json lists them with their reasons"
        log_console(state).print(text, markup=False, soft_wrap=True)


def _tell_limits(state: State, run: Run, view: Run) -> None:
    """Print on standard error the limits of the table, and how to change the search's."""
    lines = []
    if view.limits:
        options = ", ".join(OPTIONS[name] for name in view.limits)
        hint = f" · set by the search; {options} VALUE replaces it, and none removes it"
        own = view.view is None
        lines.append(f"limits    {limits_words(view.limits, view.limit_texts)}" + hint * own)
    entered = {record.number for record in run.candidates()}
    more = [record.number for record in view.candidates() if record.number not in entered]
    if more and run.finals():
        numbers = ", ".join(map(str, more))
        lines.append(
            f"not shown: {plural(len(more), 'trial')} within these limits but without a final "
            f"({numbers}), because this front holds finals only; --all shows all trials"
        )
    for line in lines:
        log_console(state).print(line, markup=False, soft_wrap=True)


def _text(state: State, run: Run, style: str, table: pd.DataFrame) -> str:
    if style == "json":
        return front_json(run, table)
    if style == "csv":
        return front_csv(run, table)
    console = result_console(state)
    with console.capture() as capture:
        console.print(front_table(run, table))
    return click.unstyle(capture.get())
