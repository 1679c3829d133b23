"""The options of ``slimtune compare``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from slimtune.cli.options.allow_code import allow_code_option
from slimtune.cli.screen.console import style_option
from slimtune.cli.state import State

EPILOG = "Example: slimtune compare resnet20=weights.th deploy/model.onnx --data cifar10"


@click.command("compare", epilog=EPILOG)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--data", metavar="REF", help="digits, folder:DIR, npz:FILE, FILE.py:NAME...")
@click.option("--run", type=Path, metavar="RUN", help="Use the data and the splits of this run.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Threads of the runtime; default 1.",
)
@style_option(["text", "json", "csv"], "A table to read, or every number as JSON or CSV.")
@allow_code_option
@click.pass_obj
def command(state: State, /, **given: Any) -> None:
    """Compare models in one table: bytes, parameters, operations, accuracy and latency.

    A MODEL is an ONNX file, the folder of a trial or of an export, or a checkpoint as NAME=FILE.
    Without --data and --run, files inside a run folder are measured on that run's test split.
    Without any data, accuracy is left out.
    """
    import_module("slimtune.cli.verbs.compare").carry_out(state, **given)
