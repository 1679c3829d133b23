"""Proposes the trials of a search, and records their outcomes in its study.

The study is the state of a search, and only the driver's process writes it. A trial is added in
one transaction together with its spec, so every trial in the study can be run again.
"""

import dataclasses
import math
import numbers
import random
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, RunError, UserError, shortened
from slimtune.results.store.record import TrialRecord
from slimtune.search.proposing.optuna_private import generation, writable
from slimtune.search.proposing.parameters import Parameters, parameters_of
from slimtune.search.proposing.past_trials import bare, with_stop, with_violations
from slimtune.search.proposing.plan import ProposalPlan
from slimtune.search.proposing.samplers import DRAWS, make_sampler
from slimtune.search.proposing.study import study_errors
from slimtune.search.proposing.study_check import Standing, StudyCheck
from slimtune.search.trial.spec import Outcome, TrialSpec, outcome_of, trial_seed


class Proposer:
    """Proposes the next trial, and is told each outcome.

    A proposal depends only on the run's seed, the trial's number and the study's history, so a
    reopened study continues as if it had never been closed.

    Args:
        study: see `open_study`.
        plan: which recipes, which of them first, and when to end.
        objectives: names in the order of the study's directions.
        conditions: of every spec, except for the seed. Their seed is the run's, from which the
            seeds of trials and of proposals are derived. A trial whose seed the plan gives gets
            no ``prefix_seed``.

    Attributes:
        stopped: why the search ended before its last trial; empty if it did not. It is also
            the study's user attribute ``stopped``.

    Raises:
        ConfigError: the study has another number of objectives.
    """

    def __init__(
        self,
        study: optuna.Study,
        plan: ProposalPlan,
        *,
        objectives: Sequence[str],
        conditions: Conditions,
    ) -> None:
        if len(objectives) != len(study.directions):
            raise ConfigError(
                f"objectives: the study has {len(study.directions)}, but got {len(objectives)}"
            )
        self._study = study
        self._plan = plan
        self._objectives = tuple(objectives)
        self._conditions = conditions
        self._reruns: deque[TrialSpec] = deque()
        self._violations: dict[int, Mapping[str, float]] = {}
        self._keys: dict[int, str] = {}
        self.stopped = ""

    def ask(self) -> TrialSpec | None:
        """Return the next trial, recorded as running; None if there are no more.

        Raises:
            ConfigError: a start point that the search space does not contain.
            RunError: the study cannot be read or written.
        """
        if self._reruns:
            return self._reruns.popleft()
        history = self._history()
        if len(history) >= self._plan.trials or self._stops(history):
            return None
        drawn = self._draw(history)
        if self._was_tried(drawn[1], history):
            self._stop(f"{DRAWS} draws in a row gave only recipes that had been tried before")
            return None
        return self._propose(history, drawn)

    def fill(self) -> None:
        """Record a new proposal as running under the next number, even if the search would end.

        Raises:
            ConfigError: as `ask`.
            RunError: as `ask`.
        """
        history = self._history()
        self._propose(history, self._draw(history))

    def use_violations(self, violations: Mapping[int, Mapping[str, float]]) -> None:
        """Replace the violations of finished trials in what the sampler sees.

        The limits of a run may have changed, but finished trials of a study cannot be.

        Args:
            violations: number of a trial -> by how much it breaks each limit, as for `tell`.
        """
        self._violations = dict(violations)

    def _history(self) -> list[FrozenTrial]:
        with study_errors(self._study.study_name):
            history = self._study.get_trials(deepcopy=False)
        return [with_violations(trial, self._violations.get(trial.number)) for trial in history]

    def _propose(
        self, history: list[FrozenTrial], draw: tuple[FrozenTrial, dict[str, Any], int]
    ) -> TrialSpec:
        drawn, recipe, draws = draw
        number = len(history)
        seed, prefix = self._seeds_of(number)
        conditions = dataclasses.replace(self._conditions, seed=seed, prefix_seed=prefix)
        spec = TrialSpec(number, recipe, conditions)
        self._add(spec, drawn, draws, drawn)
        return spec

    def _seeds_of(self, number: int) -> tuple[int, int | None]:
        """Return the seed and the prefix seed of a trial.

        A seed of the plan covers the whole trial, so such a trial has no prefix seed.
        """
        if number < len(self._plan.seeds):
            return self._plan.seeds[number], None
        return trial_seed(self._conditions.seed, number), self._conditions.prefix_seed

    def fault(self, records: Mapping[int, TrialRecord | None]) -> str:
        """Return in one line how the study contradicts the trials; empty if it does not.

        Args:
            records: number of a trial -> its record; None if the trial runs again.
        """
        required = ["spec", *["key"] * (self._plan.key is not None)]
        required += ["draws"] * (self._plan.is_flat)
        # Keys are not compared: they differ between versions, and `ask` computes them anew.
        check = StudyCheck(
            self._plan.suggest,
            seeds=self._seeds_of,
            standing=self._standing_of,
            required=required,
        )
        return check.fault(self._study, records)

    def _standing_of(self, record: TrialRecord) -> Standing:
        outcome = outcome_of(record)
        if _reason(outcome, self._objectives) is not None:
            return TrialState.FAIL, None
        return TrialState.COMPLETE, [float(outcome.objectives[n]) for n in self._objectives]

    def run_again(self, specs: Sequence[TrialSpec]) -> None:
        """Return these specs from `ask` before any new one, on the device of the present settings.

        A resumed run may be on a machine without the device on which they started.
        """
        self._reruns.extend(spec.moved(self._conditions.device) for spec in specs)

    def restore(
        self,
        spec: TrialSpec,
        outcome: Outcome | None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """Add a trial that the study has lost, under the next number.

        Some samplers need every dimension, also those that the recipe does not show. For them
        the draw is repeated. If that gives another recipe, because the sampler knew fewer
        parallel trials then, the dimensions that are not in the recipe are drawn at random.

        Args:
            spec: of the trial.
            outcome: of the trial; None if it runs again.
            violations: see `tell`.

        Raises:
            RunError: the study cannot be written.
        """
        if not self._plan.is_flat:
            self._add(spec, parameters_of(spec.recipe, self._plan.suggest))
        else:
            drawn, recipe, draws = self._draw(self._history())
            fill = random.Random(trial_seed(self._conditions.seed, spec.number))
            same = recipe == spec.recipe
            parameters = drawn if same else parameters_of(spec.recipe, self._plan.suggest, fill)
            self._add(spec, parameters, draws, drawn)
        if outcome is not None:
            self.tell(outcome, violations)

    def _add(
        self,
        spec: TrialSpec,
        parameters: FrozenTrial | Parameters,
        draws: int = 1,
        drawn: FrozenTrial | None = None,
    ) -> None:
        attrs: dict[str, Any] = {"spec": spec.to_dict()}
        if self._plan.is_flat:
            attrs["draws"] = draws
        if self._plan.key is not None:
            attrs["key"] = self._plan.key(spec.recipe)
        with study_errors(self._study.study_name):
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState.RUNNING,
                    params=parameters.params,
                    distributions=parameters.distributions,
                    user_attrs=attrs,
                    system_attrs={} if drawn is None else generation(drawn),
                )
            )

    def _stops(self, history: Sequence[FrozenTrial]) -> bool:
        """Return whether the search ends early, and record why; the first reason stays."""
        self._stop(self.stopped or self._plan.why_stop(history))
        return bool(self.stopped)

    def _stop(self, reason: str) -> None:
        self.stopped = reason
        with study_errors(self._study.study_name):
            if self.stopped != self._study.user_attrs.get("stopped", ""):
                self._study.set_user_attr("stopped", self.stopped)

    def _was_tried(self, recipe: dict[str, Any], history: Sequence[FrozenTrial]) -> bool:
        """Return whether an earlier trial has the recipe; start points are never refused."""
        if self._plan.key is None or len(history) < len(self._plan.start):
            return False
        return self._plan.key(recipe) in self._keys_of(history)

    def _keys_of(self, history: Sequence[FrozenTrial]) -> set[str]:
        """Return the keys of all trials, as this version computes them."""
        if self._plan.key is None:
            return set()
        for trial in history[len(self._keys) :]:
            try:
                self._keys[trial.number] = self._plan.key(trial.user_attrs["spec"]["recipe"])
            except (KeyError, UserError):  # of another version, whose recorded key is the only one
                self._keys[trial.number] = str(trial.user_attrs.get("key"))
        return {self._keys[trial.number] for trial in history}

    def tell(self, outcome: Outcome, violations: Mapping[str, float] | None = None) -> None:
        """Record an outcome; a trial fails if an objective is not finite.

        A stopped trial is recorded as complete, with its values at the rung where it stopped,
        and as breaking a constraint: the sampler learns from it, and it is never on the front.

        A second outcome of the same trial is ignored.

        Args:
            outcome: of a trial that `ask` returned.
            violations: by how much it breaks each constraint; above 0 if it does, in units that
                can be added. The sampler prefers trials that break none.

        Raises:
            RunError: the study has no such trial, or cannot be written.
        """
        with study_errors(self._study.study_name):
            history = self._study.get_trials(deepcopy=False)
            if not 0 <= outcome.number < len(history):
                raise RunError(f"the study has no trial {outcome.number}, only {len(history)}")
            trial = history[outcome.number]
            if trial.state.is_finished():
                return
            handle = writable(self._study, trial)
            reason = _reason(outcome, self._objectives)
            if reason is not None:
                handle.set_user_attr("reason", reason)
                self._study.tell(trial.number, state=TrialState.FAIL)
                return
            constraints = with_stop(violations or {}, outcome.status == "stopped")
            for name, value in constraints.items():
                if name not in handle.constraints:  # a process may have been killed right here
                    handle.set_constraint(name, value)
            values = [float(outcome.objectives[name]) for name in self._objectives]
            self._study.tell(trial.number, values)

    def _draw(self, history: list[FrozenTrial]) -> tuple[FrozenTrial, dict[str, Any], int]:
        """Draw a recipe from a copy of the study, so that rejected draws take no numbers.

        Returns:
            The trial of the copy, the recipe, and the number of draws.
        """
        earlier = self._keys_of(history)
        scratch = optuna.create_study(directions=self._study.directions)
        scratch.add_trials([bare(trial) for trial in history])
        number = len(history)
        for attempt in range(DRAWS):
            sampler = make_sampler(
                self._plan.sampler,
                self._conditions.seed,
                number=number,
                attempt=attempt,
                history=history,
            )
            scratch.sampler = sampler
            if number < len(self._plan.start):
                return *self._draw_start(scratch, number), attempt + 1
            drawn, recipe = self._draw_once(scratch)
            if self._plan.key is None or self._plan.key(recipe) not in earlier:
                break
            scratch.tell(drawn.number, state=TrialState.FAIL)  # no sampler reads failed trials
        return drawn, recipe, attempt + 1

    def _draw_once(self, scratch: optuna.Study) -> tuple[FrozenTrial, dict[str, Any]]:
        trial = scratch.ask()
        recipe = self._plan.suggest(trial)
        return scratch.get_trials(deepcopy=False)[trial.number], recipe

    def _draw_start(
        self, scratch: optuna.Study, number: int
    ) -> tuple[FrozenTrial, dict[str, Any]]:
        start = self._plan.start[number]
        scratch.enqueue_trial(start)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # "fixed value is out of range"
                drawn, recipe = self._draw_once(scratch)
        except (ValueError, UserWarning) as error:
            raise ConfigError(f"start point {number}: {error}") from None
        if unused := sorted(start.keys() - drawn.params.keys()):
            raise ConfigError(
                f"start point {number}: {', '.join(unused)} not in the search space there; "
                f"it has {', '.join(drawn.params)}"
            )
        return drawn, recipe


def _reason(outcome: Outcome, objectives: Sequence[str]) -> str | None:
    if outcome.status == "failed":
        return outcome.reason or "failed without a reason"
    for name in objectives:
        value = outcome.objectives.get(name)
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            return f"{name} must be a finite number, but is {shortened(value)}"
    return None
