"""``slimtune init``: print a config file with every setting."""

import os
from pathlib import Path

from slimtune.cli.config.template import config_template
from slimtune.cli.screen.console import write_or_echo
from slimtune.cli.screen.phrases import encodable
from slimtune.errors import UserError
from slimtune.search.settings.config import make_config


def carry_out(preset: str | None, output: Path | None) -> None:
    """Print a config file, or write it."""
    text = config_template(make_config({}, preset), preset)
    if output is not None and os.path.lexists(output):
        raise UserError(f"{output} already exists; choose another file, or move it away")
    write_or_echo(text if output is not None else encodable(text), output)
