"""The option ``--allow-code``."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from slimtune.workload.own_code import allow_all_code

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _allow(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        allow_all_code()


def allow_code_option(command: _Command) -> _Command:
    """Add ``--allow-code`` to a command; it takes effect before any other option is read."""
    option = click.option(
        "--allow-code",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_allow,
        help="Run your own code (FILE.py:NAME) if a config, recipe or run names it, and connect "
        "to the Ray cluster that it names.",
    )
    return option(command)
