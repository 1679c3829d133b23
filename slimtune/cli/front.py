"""``slimtune front``: the Pareto front of a run, for people or for programs."""

from pathlib import Path

import click

from slimtune.cli.console import log_console, result_console, write_or_echo
from slimtune.cli.state import State
from slimtune.results.run import Run, open_run
from slimtune.results.tables import front_csv, front_json, front_table

EPILOG = "Example: slimtune front runs/demo --format csv -o front.csv"


@click.command("front", epilog=EPILOG)
@click.argument("run", type=Path)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    help="A table for people, or every column in JSON or CSV.",
)
@click.option("-o", "--output", type=Path, metavar="FILE", help="Write to FILE instead.")
@click.pass_obj
def command(state: State, run: Path, style: str, output: Path | None) -> None:
    """Show the Pareto front of RUN: the trials that no other trial dominates."""
    opened = open_run(run)
    if missed := opened.nearest_miss():
        log_console(state).print(f"warning: {missed}", soft_wrap=True, markup=False)
    if style == "table" and output is None:
        result_console(state).print(front_table(opened))
    else:
        write_or_echo(_text(state, opened, style), output)


def _text(state: State, run: Run, style: str) -> str:
    if style == "json":
        return front_json(run)
    if style == "csv":
        return front_csv(run)
    console = result_console(state)
    with console.capture() as capture:
        console.print(front_table(run))
    return click.unstyle(capture.get())
