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
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Threads of the runtime; default 1.",
)
@style_option(["text", "json"], "Lines to read, or one JSON object.")
@allow_code_option
def command(**given: Any) -> None:
    """Measure an ONNX file, from slimtune or another tool, or a checkpoint on a test set.

    Without --data and --run, a file inside a run folder is measured on that run's splits.
    """
    import_module("slimtune.cli.verbs.evaluate").carry_out(**given)
