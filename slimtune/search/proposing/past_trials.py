"""The trials of a study as samplers read them: cheap to copy, judged by the present limits."""

import copy
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

from slimtune.search.proposing.optuna_private import generation

EARLY_STOPPED = "early_stopped"
"""Constraint that exactly the stopped trials break, so that none of them is a best trial."""


class PastTrial(FrozenTrial):
    """A trial that does not change any more, so that a deep copy can share its content.

    Every draw copies the study for its sampler. Deep copies of all trials would take most of the
    time of a draw.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "PastTrial":
        return copy.copy(self)


def bare(trial: FrozenTrial) -> PastTrial:
    """Return the trial without slimtune's own attributes, which no sampler reads."""
    return _past(trial, trial.system_attrs, {})


def with_violations(trial: FrozenTrial, violations: Mapping[str, float] | None) -> FrozenTrial:
    """Return a trial with other violations of limits; None leaves it unchanged."""
    if violations is None or not trial.state.is_finished():
        return trial
    other = _past(trial, generation(trial), trial.user_attrs)
    for name, value in with_stop(violations, EARLY_STOPPED in trial.constraints).items():
        other.set_constraint(name, value)
    return other


def with_stop(violations: Mapping[str, float], stopped: bool) -> dict[str, float]:
    """Return the constraints of a trial: a stopped one breaks one more.

    Args:
        violations: by how much it breaks each limit.
        stopped: whether it was stopped, so that its values were not measured at its end.
    """
    return {**violations, **({EARLY_STOPPED: 1.0} if stopped else {})}


def _past(
    trial: FrozenTrial, system_attrs: dict[str, Any], user_attrs: dict[str, Any]
) -> PastTrial:
    return PastTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=user_attrs,
        system_attrs=system_attrs,
        intermediate_values=trial.intermediate_values,
        trial_id=trial.number,  # a copy of a study gives its own
    )
