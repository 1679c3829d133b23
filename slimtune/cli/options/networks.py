"""Options that name the network, its data and its teacher."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--model", metavar="REF", help="Network: a zoo name, torchvision:NAME, FILE.py:NAME..."
    ),
    click.option(
        "--weights",
        metavar="FILE",
        help="Trained weights; without them, slimtune trains the model first.",
    ),
    click.option("--data", metavar="REF", help="digits, folder:DIR, npz:FILE, FILE.py:NAME..."),
    click.option(
        "--teacher",
        metavar="REF",
        help="Network that distillation learns from; default: the baseline.",
    ),
    click.option(
        "--teacher-weights",
        metavar="FILE",
        help="Weights of the teacher; without them, slimtune trains it first.",
    ),
)


def network_options(command: _Command) -> _Command:
    """Add the options to a command, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
