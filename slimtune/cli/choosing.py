"""Options that choose among the members of a front: limits, absolute or against the baseline."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from slimtune.errors import UserError
from slimtune.results.limits import LIMITED, Rule, parse_limit, resolve_limits

PICKS = ("knee", "accuracy", "size", "latency")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class LimitType(click.ParamType):
    """A limit as people write it: checked where it is given, worth something with a baseline.

    Args:
        constraint: a key of `results.limits.LIMITED`.
        name: what stands for the value in a message.
    """

    def __init__(self, constraint: str, name: str) -> None:
        self.name = name
        self._constraint = constraint

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, once it has been read without an error."""
        try:
            _rule: Rule = parse_limit(self._constraint, str(value))
        except UserError as error:
            self.fail(str(error), param, ctx)
        return str(value)


_OPTIONS = (
    click.option(
        "--min-accuracy",
        type=LimitType("min_accuracy", "accuracy"),
        metavar="X",
        help="On validation: 0.9, or -1% for one point below the baseline.",
    ),
    click.option(
        "--max-latency",
        type=LimitType("max_latency", "time"),
        metavar="TIME",
        help="At most this slow: 2ms, 0.5x of the baseline, or -20%.",
    ),
    click.option(
        "--max-size",
        type=LimitType("max_size", "size"),
        metavar="SIZE",
        help="At most this large: 500KiB, 0.25x of the baseline, or -20%.",
    ),
)


def limit_options(command: _Command) -> _Command:
    """Add ``--min-accuracy``, ``--max-latency`` and ``--max-size`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def resolved(limits: Mapping[str, str | None], baseline: Mapping[str, float]) -> dict[str, float]:
    """Return objective -> limit, in its own unit, for every limit that was given.

    Args:
        limits: ``min_accuracy``, ``max_latency``, ``max_size`` -> text, or None.
        baseline: what it measured, in a way that is comparable with what is limited.

    Raises:
        UserError: a limit against a baseline that has not been measured, or one that none can
            keep.
    """
    given = {name: text for name, text in limits.items() if text is not None}
    for name, text in given.items():
        if LIMITED[name] not in baseline and text.strip()[-1] in "x×%":
            raise UserError(
                f"--{name.replace('_', '-')} {text}: the run's baseline has no {LIMITED[name]} to "
                "compare with; give an absolute value"
            )
    return resolve_limits(given, {**dict.fromkeys(LIMITED.values(), 1.0), **baseline})
