"""``--trials N``, and ``--trials +N`` for N more than the run that is resumed was asked for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # the help of a verb imports nothing heavy
    from slimtune.search.settings.config import SearchConfig


@dataclass(frozen=True)
class MoreTrials:
    """Trials beyond those of a run.

    Attributes:
        count: how many, at least 1.
    """

    count: int


class TrialCount(click.ParamType):
    """Reads ``12`` as 12 trials and ``+4`` as `MoreTrials`."""

    name = "trials"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | MoreTrials:
        """Return the count, or refuse the value as click does."""
        text = str(value).strip()
        digits = text.removeprefix("+")
        if not digits.isdecimal() or int(digits) < 1:
            rule = f"{text!r} is no number of trials; give 1 or more, such as 12, or +4"
            self.fail(rule, param, ctx)
        return MoreTrials(int(digits)) if text != digits else int(digits)


def total_trials(trials: int | MoreTrials | None, recorded: "SearchConfig | None") -> int | None:
    """Return how many trials the run shall have in all.

    Args:
        trials: as typed; None leaves it to the other settings.
        recorded: of the run that is resumed; None for a new one.

    Raises:
        UsageError: more trials than those of no run, or of a run that tries every recipe.
    """
    if not isinstance(trials, MoreTrials):
        return trials
    if recorded is None:
        raise click.UsageError(
            f"--trials +{trials.count} adds to a run: give --resume RUN, or the number without +."
        )
    if recorded.sampler == "grid" and recorded.trials is None:
        raise click.UsageError(
            f"--trials +{trials.count}: the run tries every point of its grid, so there are no "
            "more; begin a new run with other points."
        )
    return recorded.total_trials() + trials.count
