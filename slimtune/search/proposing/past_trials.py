"""The trials of a study as samplers read them: cheap to copy, held against today's limits."""

import copy
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

CONSTRAINT = "constraints:"
"""Before a name, what `Trial.set_constraint` writes."""
EARLY_STOPPED = "early_stopped"
"""Constraint that only trials break which were stopped; so none of them is a best trial."""


class _Bare(FrozenTrial):
    """A trial of the past as samplers read it, which is cheap to copy: nobody changes it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Bare":
        return copy.copy(self)


def bare(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial without our own notes, which no sampler reads."""
    known = copy.copy(trial)
    known.user_attrs = {}
    known.__class__ = _Bare
    return known


def rejudged(trial: FrozenTrial, violations: Mapping[str, float] | None) -> FrozenTrial:
    """Return a trial with other violations of limits; with its own if None are given."""
    if violations is None or not trial.state.is_finished():
        return trial
    stopped = {EARLY_STOPPED: 1.0} if EARLY_STOPPED in trial.constraints else {}
    kept = {k: v for k, v in trial.system_attrs.items() if not k.startswith(CONSTRAINT)}
    told = {f"{CONSTRAINT}{name}": v for name, v in {**violations, **stopped}.items()}
    other = copy.copy(trial)
    other.system_attrs = {**kept, **told}
    return other
