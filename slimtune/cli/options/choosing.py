"""Options that choose members of a front: limits, absolute or relative to the baseline."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from slimtune.errors import UserError
from slimtune.results.pareto.limit_view import parse_limits

PICKS = ("knee", "accuracy", "size", "latency")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class LimitType(click.ParamType):
    """A limit as people write it; its form is checked at once, its value against a baseline later.

    Args:
        constraint: a key of `results.pareto.limits.LIMITED`.
        name: the name of the value in a message.
    """

    def __init__(self, constraint: str, name: str) -> None:
        self.name = name
        self._constraint = constraint

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, after checking that it is a limit."""
        try:
            parse_limits({self._constraint: str(value)})
        except UserError as error:
            self.fail(str(error), param, ctx)
        return str(value)


_OPTIONS = (
    click.option(
        "--min-accuracy",
        type=LimitType("min_accuracy", "accuracy"),
        metavar="X",
        help="Lowest validation accuracy: 0.9, -1% for one point below the baseline, or none.",
    ),
    click.option(
        "--max-latency",
        type=LimitType("max_latency", "time"),
        metavar="TIME",
        help="Highest latency: 2ms, 0.5x of the baseline, -20%, or none.",
    ),
    click.option(
        "--max-size",
        type=LimitType("max_size", "size"),
        metavar="SIZE",
        help="Largest file: 500KiB, 0.25x of the baseline, -20%, or none.",
    ),
)


def limit_options(command: _Command) -> _Command:
    """Add ``--min-accuracy``, ``--max-latency`` and ``--max-size`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_limits(limits: Mapping[str, str | None]) -> dict[str, str]:
    """Return the limits that were given: constraint -> text, as `Run.within` takes them."""
    return {name: text for name, text in limits.items() if text is not None}
