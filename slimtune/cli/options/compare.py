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
    "--threads", type=click.IntRange(min=1), default=1, metavar="N", help="Of the runtime."
)
@style_option(["text", "json", "csv"], "A table for people, or every number in JSON or CSV.")
@allow_code_option
@click.pass_obj
def command(state: State, /, **given: Any) -> None:
    """Compare models: bytes, parameters, operations, accuracy and latency side by side.

    A MODEL is an ONNX file, a trial's or an export's folder, or a checkpoint as NAME=FILE. Files
    inside a run folder are measured on that run's test split if neither --data nor --run is
    given; without any data, accuracy is left out.
    """
    import_module("slimtune.cli.verbs.compare").carry_out(state, **given)
