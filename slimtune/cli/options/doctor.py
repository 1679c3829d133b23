"""The options of ``slimtune doctor``."""

from importlib import import_module
from typing import Any

import click

from slimtune.cli.screen.console import json_option
from slimtune.cli.state import State

EPILOG = "Example: slimtune doctor --model ./net.py:make --data folder:shapes"


@click.command("doctor", epilog=EPILOG)
@click.option(
    "--model", metavar="REF", help="Network: a zoo name, torchvision:NAME, FILE.py:NAME..."
)
@click.option("--weights", metavar="FILE", help="Trained weights; doctor works without them too.")
@click.option("--data", metavar="REF", help="digits, folder:DIR, npz:FILE, FILE.py:NAME...")
@click.option("--preset", metavar="NAME", help="Take model, data and space from a preset.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the search by its dotted name; repeat for more.",
)
@json_option
@click.pass_obj
def command(state: State, /, **given: Any) -> None:
    """Try what can be pruned, quantized, distilled and exported, and estimate a trial's time.

    It works on a copy, trains only a few steps and writes nothing. The last line is a search
    that leaves out what does not work.
    """
    import_module("slimtune.cli.verbs.doctor").carry_out(state, **given)
