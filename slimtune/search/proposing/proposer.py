"""What is proposed: which trial comes next, and what became of the last.

The study is the only truth of a search. One process writes it, the driver. Every trial in it
was added in one transaction together with its spec, so none is ever there without the
means to run it again.
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
    """Ask it for the next trial, tell it what came out.

    A proposal depends on the run's seed, the trial's number and the study's history alone:
    a reopened study goes on as if it had never been closed.

    Args:
        study: see `open_study`.
        plan: which recipes, which of them first, and when to end.
        objectives: names in the order of the study's directions.
        conditions: for every spec, but for the seed: this one is the run's, and decides each
            trial's seed and every proposal. Only trials with a seed of their own get the
            ``prefix_seed``.

    Attributes:
        stopped: why no new trial was proposed though there were some left; empty until then.
            Also kept as the study's user attribute ``stopped``.

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
        """Return the next trial, recorded as running, or None when the study is full.

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
        """Record the next number as running, with a new proposal, whether it is enough or not.

        Raises:
            ConfigError: as `ask`.
            RunError: as `ask`.
        """
        history = self._history()
        self._propose(history, self._draw(history))

    def use_violations(self, violations: Mapping[int, Mapping[str, float]]) -> None:
        """Take other violations for those that finished trials were told with.

        The limits of a run may have changed since; the study cannot be changed any more.

        Args:
            violations: trial -> by how much it breaks each limit, as for `tell`.
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
        """Return the seed and the prefix seed of a trial; given seeds repeat all of it."""
        if number < len(self._plan.seeds):
            return self._plan.seeds[number], None
        return trial_seed(self._conditions.seed, number), self._conditions.prefix_seed

    def fault(self, records: Mapping[int, TrialRecord | None]) -> str:
        """Return what in the study contradicts the trials, in one line; empty if nothing does.

        Args:
            records: of the finished trials by number; None for those that run again.
        """
        required = ["spec", *["key"] * (self._plan.key is not None)]
        required += ["draws"] * (self._plan.is_flat)
        # No key is compared: it may tell more alike than that of an older version did, and what is
        # known is worked out from the recipes.
        check = StudyCheck(self._plan.suggest, None, self._seeds_of, self._standing_of, required)
        return check.fault(self._study, records)

    def _standing_of(self, record: TrialRecord) -> Standing:
        outcome = outcome_of(record)
        if _reason(outcome, self._objectives) is not None:
            return TrialState.FAIL, None
        return TrialState.COMPLETE, [float(outcome.objectives[n]) for n in self._objectives]

    def run_again(self, specs: Sequence[TrialSpec]) -> None:
        """Hand these out before any new one, on the device that all specs are for now.

        A run may go on where the device that they were begun on is not.
        """
        self._reruns.extend(spec.moved(self._conditions.device) for spec in specs)

    def restore(
        self,
        spec: TrialSpec,
        outcome: Outcome | None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """Add a trial that the study has lost, as its next number.

        Where the sampler needs every dimension, also those that left no trace in the recipe, the
        draw is made again. If it makes another recipe (of trials side by side, the sampler knew
        less then), those dimensions are drawn by chance.

        Args:
            spec: of the trial.
            outcome: what came out; None of a trial that is to run again.
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
        """Ask whether it is enough, until it is, and write down an answer that is new."""
        self._stop(self.stopped or self._plan.why_stop(history))
        return bool(self.stopped)

    def _stop(self, reason: str) -> None:
        self.stopped = reason
        with study_errors(self._study.study_name):
            if self.stopped != self._study.user_attrs.get("stopped", ""):
                self._study.set_user_attr("stopped", self.stopped)

    def _was_tried(self, recipe: dict[str, Any], history: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial has the recipe; start points are run as they are."""
        if self._plan.key is None or len(history) < len(self._plan.start):
            return False
        return self._plan.key(recipe) in self._keys_of(history)

    def _keys_of(self, history: Sequence[FrozenTrial]) -> set[str]:
        """Return the keys of all trials, of their recipes as this version tells them apart."""
        if self._plan.key is None:
            return set()
        for trial in history[len(self._keys) :]:
            try:
                self._keys[trial.number] = self._plan.key(trial.user_attrs["spec"]["recipe"])
            except (KeyError, UserError):  # of another version: by what that version wrote down
                self._keys[trial.number] = str(trial.user_attrs.get("key"))
        return {self._keys[trial.number] for trial in history}

    def tell(self, outcome: Outcome, violations: Mapping[str, float] | None = None) -> None:
        """Record an outcome. A failure, or an objective that is not finite, leaves a reason.

        A stopped trial counts as finished, with the values it had come to, and as one that
        breaks a constraint: the sampler learns from it and the front leaves it out.

        A second outcome of the same trial is ignored: the first stands.

        Args:
            outcome: of a trial that was asked for.
            violations: by how much it breaks each constraint, above 0 if it does, in units that
                can be added up; the sampler prefers trials that break none.

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
                if name not in handle.constraints:  # it is, if the process was killed here before
                    handle.set_constraint(name, value)
            values = [float(outcome.objectives[name]) for name in self._objectives]
            self._study.tell(trial.number, values)

    def _draw(self, history: list[FrozenTrial]) -> tuple[FrozenTrial, dict[str, Any], int]:
        """Draw on a copy in memory, so that the draws thrown away take no numbers.

        Returns:
            The trial of the copy, the recipe, and how many draws it took.
        """
        earlier = self._keys_of(history)
        scratch = optuna.create_study(directions=self._study.directions)
        scratch.add_trials([bare(trial) for trial in history])
        number = len(history)
        for attempt in range(DRAWS):
            sampler = make_sampler(
                self._plan.sampler, self._conditions.seed, number, attempt, history
            )
            scratch.sampler = sampler
            if number < len(self._plan.start):
                return *self._draw_start(scratch, number), attempt + 1
            drawn, recipe = self._draw_once(scratch)
            if self._plan.key is None or self._plan.key(recipe) not in earlier:
                break
            scratch.tell(drawn.number, state=TrialState.FAIL)  # which no sampler looks at
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
