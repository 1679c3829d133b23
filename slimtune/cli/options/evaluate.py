"""The options of ``slimtune evaluate``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from slimtune.cli.options.allow_code import allow_code_option
from slimtune.cli.screen.console import style_option

EPILOG = "Example: slimtune evaluate deploy/model.onnx --data digits"


@click.command("evaluate", epilog=EPILOG)
@click.argument("file", type=Path, required=False, metavar="[MODEL.onnx]")
@click.option("--data", metavar="REF", help="digits, folder:DIR, npz:FILE, FILE.py:NAME...")
@click.option("--run", type=Path, metavar="RUN", help="Use the data and the splits of this run.")
@click.option("--model", metavar="REF", help="Evaluate a checkpoint of this network instead.")
@click.option("--weights", metavar="FILE", help="The checkpoint, with --model.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, metavar="N", help="Of the runtime."
)
@style_option(["text", "json"], "Lines for people, or one JSON object.")
@allow_code_option
def command(**given: Any) -> None:
    """Measure an ONNX file, ours or another's, or a checkpoint on a test set.

    A file inside a run folder is measured on that run's splits if neither --data nor --run is
    given.
    """
    import_module("slimtune.cli.verbs.evaluate").carry_out(**given)
