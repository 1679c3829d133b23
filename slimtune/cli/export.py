"""``slimtune export``: one member of the front, copied out of the run and ready to deploy."""

from pathlib import Path

import click

from slimtune.cli import words
from slimtune.cli.console import log_console
from slimtune.cli.settings import Quantity
from slimtune.cli.state import State
from slimtune.results.finals import FOLDER as FINALS
from slimtune.results.run import Member, Run, open_run
from slimtune.results.units import parse_latency, parse_size

EPILOG = "Example: slimtune export runs/demo --pick size --min-accuracy 0.95 -o deploy"


@click.command("export", epilog=EPILOG)
@click.argument("run", type=Path)
@click.option("--trial", type=click.IntRange(min=0), metavar="N", help="Export this trial.")
@click.option(
    "--pick",
    "how",
    type=click.Choice(["knee", "accuracy", "size", "latency"]),
    help="Export the knee of the front, or its best member in one objective.",
)
@click.option(
    "--min-accuracy",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Only members of at least this validation accuracy, 0..1.",
)
@click.option(
    "--max-latency",
    type=Quantity("time", parse_latency),
    metavar="TIME",
    help="Only members at most this slow, with a unit: 2ms.",
)
@click.option(
    "--max-size",
    type=Quantity("size", parse_size),
    metavar="SIZE",
    help="Only members at most this large, with a unit: 500KiB.",
)
@click.option(
    "-o", "--output", type=Path, required=True, metavar="DIR", help="New or empty folder."
)
@click.pass_obj
def command(
    state: State,
    run: Path,
    trial: int | None,
    how: str | None,
    min_accuracy: float | None,
    max_latency: float | None,
    max_size: int | None,
    output: Path,
) -> None:
    """Copy one member of RUN's front into a folder, checked against its recorded hashes.

    Give --trial, or --pick with limits; limits alone mean --pick knee.
    """
    limits = {
        "min_accuracy": min_accuracy,
        "max_latency_ms": max_latency,
        "max_size_bytes": max_size,
    }
    limited = any(limit is not None for limit in limits.values())
    if (trial is None) == (how is None and not limited):
        raise click.UsageError("Give either --trial N or --pick with limits.")
    opened = open_run(run)
    member = opened.trial(trial) if trial is not None else opened.pick(how or "knee", **limits)
    target = member.export(output)
    _show(state, opened, member, target)


def _show(state: State, run: Run, member: Member, target: Path) -> None:
    """Print the folder as the result, and what is in it and how to try it as log."""
    click.echo(target)
    log = log_console(state)
    told = words.objectives(member.record.objectives)
    final = f" (final {member.path.name})" if member.path.parent.name == FINALS else ""
    text = f"trial {member.number} of {run.path}: {member.record.pipeline}{final}"
    log.print(text, markup=False, soft_wrap=True)
    log.print(told, markup=False)
    for file in sorted(target.iterdir()):
        log.print(f"  {file.name:<20} {words.size(file.stat().st_size):>12}", markup=False)
    data = run.manifest["config"]["data"]
    command = f"{words.program()} evaluate {target / 'model.onnx'} --data {data}"
    log.print(f"try it: {command}", markup=False, soft_wrap=True)
