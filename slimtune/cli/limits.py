"""Limits on what may be picked from a front: the same options, words and rules in every verb."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from slimtune.errors import UserError
from slimtune.results.limits import LIMITED, parse_limit
from slimtune.results.run import Run

_Command = TypeVar("_Command", bound=Callable[..., Any])
_KEYWORDS = {
    "min_accuracy": "min_accuracy",
    "max_latency": "max_latency_ms",
    "max_size": "max_size_bytes",
}
"""An option -> the argument of `Run.pick`."""


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


def pick_limits(run: Run, options: dict[str, str | None]) -> dict[str, Any]:
    """Return the keyword arguments of `Run.pick` that the options mean.

    Args:
        run: whose baseline relative limits refer to, as measured together with its front.
        options: what `limit_options` gave, by name; None was not given.

    Raises:
        UserError: a relative limit, but the run has no baseline value for it.
    """
    given = {name: text for name, text in options.items() if text is not None}
    if not given:
        return {}
    baseline = run.baseline_values(run.front())
    found: dict[str, Any] = {}
    for name, text in given.items():
        value = parse_limit(name, text)(baseline.get(LIMITED[name], float("nan")))
        if value != value:
            raise UserError(
                f"--{name.replace('_', '-')} {text}: the run's baseline has no {LIMITED[name]} to "
                "compare with; give an absolute value"
            )
        found[_KEYWORDS[name]] = value
    return found
