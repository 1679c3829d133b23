"""``slimtune report``: write an HTML page, and static figures, that explain a run."""

import json
from pathlib import Path

import click

from slimtune.cli.options.choosing import given_limits, limit_options
from slimtune.cli.screen.console import json_option, log_console
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.errors import UserError
from slimtune.results.run import Run, open_run
from slimtune.results.store.output import write_output
from slimtune.results.views.plots import front_png, growth_png, importance_png
from slimtune.results.views.report.page import write_report

EPILOG = "Example: slimtune report runs/demo --png figures/"
_FIGURES = {
    "front.png": front_png,
    "hypervolume.png": growth_png,
    "importance.png": importance_png,
}


@click.command("report", epilog=EPILOG)
@click.argument("run", type=Path)
@click.option(
    "-o", "--output", type=Path, metavar="FILE", help="File of the page; default RUN/report.html."
)
@click.option(
    "--png", "figures", type=Path, metavar="DIR", help="Also draw static figures into DIR."
)
@limit_options
@json_option
@click.pass_obj
def command(
    state: State, /, run: Path, output: Path | None, figures: Path | None, **limits: str | None
) -> None:
    """Write one HTML page that explains RUN.

    It shows the front in linked charts, the hypervolume over the trials, what decided each
    objective, what each technique gained, failures, and how everything was measured. It opens
    from disk and fetches nothing. RUN may still be running. A limit that you give replaces the
    search's own.
    """
    opened = open_run(run)
    opened = opened.at(opened.records).within(given_limits(limits))
    page = write_report(opened, output or opened.path / "report.html")
    drawn = [] if figures is None else _draw(state, opened, figures)
    if state.json:
        echo(json.dumps({"report": str(page), "figures": [str(file) for file in drawn]}))
        return
    for file in (page, *drawn):
        echo(file)


def _draw(state: State, run: Run, folder: Path) -> list[Path]:
    """Write the figures that the run has enough trials for, and print which are left out."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create {folder}: {error.strerror}; choose another folder"
        ) from None
    drawn = []
    for name, draw in _FIGURES.items():
        png = draw(run)
        if png is None:
            log_console(state).print(f"too few trials for {name}", markup=False)
            continue
        write_output(folder / name, png)
        drawn.append(folder / name)
    return drawn
