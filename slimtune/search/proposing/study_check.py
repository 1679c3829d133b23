"""Checks a study against its trials, so that a damaged cell cannot steer a search."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from slimtune.conditions import Conditions
from slimtune.results.store.record import TrialRecord
from slimtune.search.proposing.parameters import parameters_of
from slimtune.search.trial.spec import TrialSpec

Standing = tuple[TrialState, list[float] | None]
"""The state and the values of a finished trial in a study."""


class StudyCheck:
    """Compares each trial of a study with its spec and with its record.

    Args:
        suggest: draws a recipe in its JSON form, by ``trial.suggest_*``.
        seeds: number of a trial -> its ``seed`` and ``prefix_seed``.
        standing: from a record to the state and values that its trial has in the study.
        required: user attributes that every trial has.
    """

    def __init__(
        self,
        suggest: Callable[[Any], object],
        *,
        seeds: Callable[[int], tuple[int, int | None]],
        standing: Callable[[TrialRecord], Standing],
        required: Sequence[str],
    ) -> None:
        self._suggest = suggest
        self._seeds = seeds
        self._standing = standing
        self._required = required

    def fault(self, study: optuna.Study, records: Mapping[int, TrialRecord | None]) -> str:
        """Return what is wrong with a study in one line, or an empty string.

        A folder whose trial the study still holds as running is no fault, nor is a trial
        without a folder. A failed trial that runs again is one: a study cannot take back a
        failure, so it must be rebuilt.
        """
        try:
            for number, trial in enumerate(study.get_trials(deepcopy=False)):
                if fault := self._of(number, trial, records):
                    return f"trial {number}: {fault}"
        except Exception as error:  # a damaged cell can raise anything in Optuna, and in us
            return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        return ""

    def _of(
        self, number: int, trial: FrozenTrial, records: Mapping[int, TrialRecord | None]
    ) -> str:
        if trial.number != number:
            return "its number is missing"
        missing = [name for name in self._required if name not in trial.user_attrs]
        if missing:
            return f"has no {missing[0]}, so another program made it"
        spec = TrialSpec.from_dict(trial.user_attrs["spec"])
        if spec.number != number or _seeds(spec) != self._seeds(number):
            return "has another number or seed than it was given"
        if not _sound(spec):
            return "has a spec that slimtune never writes"
        if not self._fits(trial.params, parameters_of(spec.recipe, self._suggest).params):
            return "has other parameters than its recipe"
        return self._against_record(trial, spec, records.get(number))

    def _fits(self, params: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
        """Return whether the parameters are as expected, except for some that have no effect."""
        if all(_same(value, params.get(name)) for name, value in expected.items()):
            return True
        if not expected.keys() <= params.keys():
            return False
        # A sampler in `FLAT` draws every dimension, also those that another choice overrules.
        recipes = (self._suggest(FixedTrial({**params, **more})) for more in ({}, expected))
        return next(recipes) == next(recipes)

    def _against_record(
        self, trial: FrozenTrial, spec: TrialSpec, record: TrialRecord | None
    ) -> str:
        state, values = trial.state, trial.values
        if state not in (TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL):
            return f"is {state.name}, a state that slimtune never sets"
        if record is None:
            return "failed, and runs again" if state is TrialState.FAIL else ""
        if _repeated(spec.recipe, spec.conditions) != _repeated(record.recipe, record.conditions):
            return "has other conditions than its folder"
        if state is not TrialState.RUNNING and (state, values) != self._standing(record):
            return "has other values than its folder"
        return ""


def _sound(spec: TrialSpec) -> bool:
    conditions = spec.conditions
    counts = isinstance(conditions.threads, int) and isinstance(conditions.views, int)
    named = isinstance(conditions.device, str) and conditions.precision in ("float32", "bfloat16")
    return counts and named and conditions.threads > 0 and conditions.views >= 0


def _seeds(spec: TrialSpec) -> tuple[int, int | None]:
    return spec.conditions.seed, spec.conditions.prefix_seed


def _repeated(recipe: Mapping[str, Any], conditions: Conditions) -> tuple[Any, ...]:
    """Return what a spec and its record must share; threads and device depend on the host."""
    return recipe, conditions.seed, conditions.precision, conditions.views


def _same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers and not isinstance(one, bool) and not isinstance(other, bool):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-7)
    return bool(one == other)
