"""The options of ``slimtune init``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

EPILOG = "Example: slimtune init --preset demo -o search.yaml"


@click.command("init", epilog=EPILOG)
@click.option("--preset", metavar="NAME", help="Take the values of a ready-made search.")
@click.option(
    "-o", "--output", type=Path, metavar="FILE", help="Write to FILE, which must not exist."
)
def command(**given: Any) -> None:
    """Print a config file with every setting, its meaning, range and value.

    Edit what you want to change, delete what you do not need, and start the search with
    `slimtune search -c FILE`.
    """
    import_module("slimtune.cli.verbs.init").carry_out(**given)
