"""The last words of a command that was interrupted."""

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import click

from slimtune.cli.state import State
from slimtune.cli.words import program

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_Listener = Callable[[str, Mapping[str, Any]], None]


def interrupted_line(state: State) -> str:
    """Return what was kept, and the command that goes on."""
    if state.run is not None and (state.run / "run.json").is_file():
        command = f"{program()} search --resume {shlex.quote(str(state.run))}"
        return f"interrupted; finished trials are kept; go on with: {command}"
    return "interrupted; nothing was written"


def leaving_when_stuck(state: State, listener: _Listener) -> _Listener:
    """Return the listener of a search whose process ends if an interrupt finds it stuck.

    Nothing is lost by that: every trial is written down when it finishes, and the lock of a
    process that is gone holds nobody up.
    """

    def heard(event: str, values: Mapping[str, Any]) -> None:
        listener(event, values)
        if event == "stuck":
            click.echo(interrupted_line(state), err=True)
            os._exit(INTERRUPTED)

    return heard
