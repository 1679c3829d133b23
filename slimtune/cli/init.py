"""``slimtune init``: a config file to begin with."""

import os
from pathlib import Path

import click

from slimtune.cli.console import write_or_echo
from slimtune.cli.template import config_template
from slimtune.cli.words import encodable
from slimtune.errors import UserError
from slimtune.search.config import make_config

EPILOG = "Example: slimtune init --preset demo -o search.yaml"


@click.command("init", epilog=EPILOG)
@click.option("--preset", metavar="NAME", help="Take the values of a ready-made search.")
@click.option(
    "-o", "--output", type=Path, metavar="FILE", help="Write to FILE, which must not exist."
)
def command(preset: str | None, output: Path | None) -> None:
    """Print a config file with every setting, its meaning, range and value.

    Edit what you want to change, delete what you do not care for, and hand it to
    `slimtune search -c FILE`.
    """
    text = config_template(make_config({}, preset), preset)
    if output is not None and os.path.lexists(output):
        raise UserError(f"{output} already exists; choose another file, or move it away")
    write_or_echo(text if output is not None else encodable(text), output)
