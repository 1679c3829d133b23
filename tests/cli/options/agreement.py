"""Whether a verb's options are what the function behind them takes."""

import inspect
from collections.abc import Callable
from typing import Any

import click


def check_agreement(command: click.Command, carry_out: Callable[..., Any]) -> None:
    """Check that every argument is an option, and every option an argument or taken as one."""
    wanted = inspect.signature(carry_out).parameters.values()
    takes_any = any(one.kind is one.VAR_KEYWORD for one in wanted)
    named = {one.name for one in wanted if one.kind is not one.VAR_KEYWORD} - {"state"}
    given = {one.name for one in command.params if one.expose_value}
    assert named <= given
    assert takes_any or given <= named
