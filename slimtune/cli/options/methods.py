"""The options of ``slimtune methods``."""

from importlib import import_module
from typing import Any

import click

from slimtune.cli.screen.console import style_option

EPILOG = "Example: slimtune methods fpgm"


@click.command("methods", epilog=EPILOG)
@click.argument("name", required=False)
@style_option(["table", "json"], "Text to read, or JSON with every setting and its range.")
def command(**given: Any) -> None:
    """List methods, models, data sources and presets. NAME shows one of them in full."""
    import_module("slimtune.cli.verbs.methods").carry_out(**given)
