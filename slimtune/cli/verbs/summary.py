"""``slimtune summary``: all trials of a run, one row per pipeline, with their spread."""

from pathlib import Path

import click

from slimtune.cli.screen.console import log_console, result_console, style_option, write_or_echo
from slimtune.cli.state import State
from slimtune.errors import RunError, shortened
from slimtune.results.run import open_run
from slimtune.results.store.output import write_output
from slimtune.results.views.plots import spread_png
from slimtune.results.views.summary import DEFAULT_COLUMNS, summarise, summary_table
from slimtune.results.views.tables import no_formula

EPILOG = "Example: slimtune summary runs/pruning-kd --columns prune.method,distill.method,accuracy"


@click.command("summary", epilog=EPILOG)
@click.argument("run", type=Path)
@click.option(
    "--columns",
    metavar="A,B,...",
    help="Recipe settings such as prune.amount, and measured values; default: those of the run.",
)
@style_option(["table", "json", "csv"], "A table to read, or the numbers as JSON or CSV.")
@click.option("--figure", type=Path, metavar="FILE.png", help="Also draw mean and spread.")
@click.option(
    "-o", "--output", type=Path, metavar="FILE", help="Write to FILE instead of the terminal."
)
@click.pass_obj
def command(
    state: State,
    run: Path,
    columns: str | None,
    style: str,
    figure: Path | None,
    output: Path | None,
) -> None:
    """Show one row per pipeline of RUN, averaged over the trials that repeat it.

    The front shows what to ship; the summary shows what was compared.
    """
    opened = open_run(run)
    own = opened.manifest["config"].get("summary") or DEFAULT_COLUMNS
    if not isinstance(own, list | tuple) or not all(isinstance(name, str) for name in own):
        raise RunError(f"{run}/run.json: config.summary must be names, but got {shortened(own)}")
    names = [name.strip() for name in columns.split(",")] if columns else list(own)
    table = summarise(opened, names)
    if style == "table" and output is None:
        result_console(state).print(summary_table(table))
    elif style == "json":
        write_or_echo(table.to_json(orient="records", indent=2), output)
    else:
        write_or_echo(table.map(no_formula).to_csv(index=False, lineterminator="\n"), output)
    if figure is not None:
        write_output(figure, spread_png(opened))
        log_console(state).print(f"drawn to {figure}", markup=False, soft_wrap=True)
