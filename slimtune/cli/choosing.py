"""Limits on what may be picked from a front: the same options, words and rules in every verb."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from slimtune.errors import UserError
from slimtune.results.limits import LIMITED, parse_limit

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Limit(click.ParamType):
    """Text that `parse_limit` takes: absolute or relative to the baseline."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text, once it is known to be a limit."""
        try:
            parse_limit(str(param.name if param else ""), value)
        except UserError as error:
            self.fail(str(error), param, ctx)
        return value


_OPTIONS = (
    click.option(
        "--min-accuracy",
        type=Limit(),
        metavar="X",
        help="Only members this accurate on validation: 0.9, or -1% for a point less.",
    ),
    click.option(
        "--max-latency",
        type=Limit(),
        metavar="TIME",
        help="Only members at most this slow: 2ms, 0.5x or -20%.",
    ),
    click.option(
        "--max-size",
        type=Limit(),
        metavar="SIZE",
        help="Only members at most this large: 500KiB, 0.25x or -20%.",
    ),
)


def limit_options(command: _Command) -> _Command:
    """Add the options to a command, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def resolved(limits: Mapping[str, str | None], baseline: Mapping[str, float]) -> dict[str, float]:
    """Return objective -> limit, in its own unit, for every limit that was given.

    Args:
        limits: what `limit_options` gave, by name; None was not given.
        baseline: what relative limits refer to, such as `Run.baseline_values`.

    Raises:
        UserError: a relative limit, but the baseline has no value for it.
    """
    found: dict[str, float] = {}
    for name, text in limits.items():
        if text is None:
            continue
        objective = LIMITED[name]
        found[objective] = parse_limit(name, text)(baseline.get(objective, math.nan))
        if math.isnan(found[objective]):
            raise UserError(
                f"--{name.replace('_', '-')} {text}: the run's baseline has no {objective} to "
                "compare with; give an absolute value"
            )
    return found
