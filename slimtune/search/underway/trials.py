"""Runs the trials of a search: proposes, judges and records them."""

from functools import partial

from slimtune.compression.recipe import Recipe
from slimtune.results.objectives import parse_objectives
from slimtune.results.pareto.limits import certain_violations
from slimtune.search.forecast.training_precision import training_precision
from slimtune.search.listeners.events import (
    PhaseEntered,
    Resumed,
    SearchStopped,
    TrialFinished,
    TrialStarted,
)
from slimtune.search.proposing.grid_twins import grid_trials
from slimtune.search.proposing.proposals import proposer_of, recorded_points
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.proposing.reconcile import open_proposer
from slimtune.search.proposing.study import Study, open_study
from slimtune.search.proposing.twins import Twins
from slimtune.search.resuming.limits import breaches
from slimtune.search.trial.attempt import AtPhase, FetchEntry, Judge, no_judge
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.recorder import Recorder
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.stage_store import RunStore
from slimtune.search.trial.stopping import open_rule
from slimtune.search.trial.trial import run_trial
from slimtune.search.underway.open_search import OpenSearch


def run_trials(search: OpenSearch) -> str:
    """Run the trials that a search lacks, and return why it stopped early; empty if it did not.

    Raises:
        RunError: the run's records contradict each other, or the disk refuses.
        KeyboardInterrupt: as `OpenSearch.execute`; every finished trial is in the run folder.
    """
    trials = _TrialsDriver(search)
    work = partial(
        run_trial, objectives=tuple(search.config.objectives), origin=trials.store.origin
    )
    search.execute(work, trials)
    if trials.proposer.stopped:
        search.listener(SearchStopped(trials.proposer.stopped))
    return trials.proposer.stopped


class _TrialsDriver(Driver):
    """Connects the proposer, the recorder, the stopping rule and the stage store."""

    def __init__(self, search: OpenSearch) -> None:
        config, folder = search.config, search.folder
        self._listener = search.listener
        self._folder = folder
        self.proposer = _open_proposer(search)
        self.store = RunStore(folder, config.stage_store, search.workload, search.warn)
        self._recorder = Recorder(folder)
        self._limits = folder.manifest.get("limits", {})
        self._rule = open_rule(folder) if config.stops else None
        self._specs: dict[int, TrialSpec] = {}

    def ask(self) -> TrialSpec | None:
        return self.proposer.ask()

    def tell(self, outcome: Outcome) -> None:
        # Files before the study: a search that is killed in between only has to tell the study.
        outcome = self._recorder.record(self._specs[outcome.number], outcome)
        measured = {**outcome.payload.metrics, **outcome.objectives}
        self.proposer.tell(outcome, certain_violations(self._limits, measured))
        if self._rule is not None:
            self._rule.learn(outcome.payload)
        self.store.add(outcome.entries)

    @property
    def judge(self) -> Judge:
        return self._rule or no_judge

    @property
    def fetch_entry(self) -> FetchEntry:
        return self.store.fetch

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        if isinstance(what, AtPhase):
            self._listener(PhaseEntered(what.number, what.phase))
        elif isinstance(what, TrialSpec):
            self._specs[what.number] = what
            words = Recipe.from_dict(what.recipe).describe()
            self._listener(TrialStarted(what.number, words))
        else:
            self._listener(TrialFinished(self._folder.record(what.number)))


def _open_proposer(search: OpenSearch) -> Proposer:
    """Open the study, reconcile it with the folder, and return its proposer."""
    config, folder, workload = search.config, search.folder, search.workload
    objectives = parse_objectives(config.objectives)
    total = max(grid_trials(config, folder.manifest), max(folder.numbers(), default=-1) + 1)

    def opened() -> tuple[Study, Proposer]:
        directions = [o.direction for o in objectives]
        names = [o.name for o in objectives]
        study = open_study(folder.study_path, directions, folder.path.name, names)
        return study, proposer_of(
            config,
            study,
            total=total,
            points=recorded_points(config, folder.manifest),
            why_stop=search.budget.stop_check(objectives, folder.manifest["reference_point"]),
            precision=training_precision(config, workload).precision,
            key=Twins(workload).key,
        )

    (study, proposer), reruns = open_proposer(folder, opened, search.warn)
    proposer.use_violations(breaches(folder))
    if study.get_trials(deepcopy=False):
        search.listener(Resumed(tuple(folder.records()), reruns, total))
    return proposer
