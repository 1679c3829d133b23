"""A whole search, from top to bottom: workload, baseline, trials, joint measurement, report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimtune.compression.training.loop import Epoch
from slimtune.errors import SearchFailedError
from slimtune.results.run import Run, open_run
from slimtune.results.stop_reason import stopped_words
from slimtune.results.store.folder import RunFolder, refuse_existing
from slimtune.results.store.lock import RunLock, claim
from slimtune.results.store.record import TrialRecord
from slimtune.search.executors.machines import machines, start_ray, workers
from slimtune.search.executors.ray_session import keep_ray
from slimtune.search.facts import manifest_of, workload_facts
from slimtune.search.finals.finals import run_finals
from slimtune.search.finals.joint_measurement import measure_front
from slimtune.search.forecast.checks import check_space, learn_groups
from slimtune.search.forecast.few_steps import training_doubts
from slimtune.search.forecast.given_weights import check_given_weights
from slimtune.search.forecast.training_precision import training_precision
from slimtune.search.listeners.events import (
    BaselineMeasured,
    Decoding,
    EpochTrained,
    FrontMeasured,
    Fruitless,
    LimitsMissed,
    Listener,
    Stopping,
    Stuck,
    TeacherMeasured,
    Warned,
    ignore_events,
)
from slimtune.search.listeners.report import leave_report
from slimtune.search.listeners.status_file import StatusFile
from slimtune.search.listeners.trackers.tracked import tracked
from slimtune.search.proposing.budget import Budget
from slimtune.search.proposing.grid_twins import grid_trials, grid_twins
from slimtune.search.proposing.twins import Twins
from slimtune.search.resuming.aside import check_other_files
from slimtune.search.resuming.limits import record_settings, tell_limits
from slimtune.search.resuming.resume import check_same_search, with_former_defaults
from slimtune.search.settings.config import SearchConfig
from slimtune.search.setup import (
    load_workload,
    reopen_workload,
    teacher_as_baseline,
    train_missing,
)
from slimtune.search.trial.scores import check_metrics
from slimtune.search.underway.baseline import (
    MeasuredNetwork,
    all_numbers,
    doubts,
    measure_network,
)
from slimtune.search.underway.interrupts import Interrupts
from slimtune.search.underway.open_search import OpenSearch
from slimtune.search.underway.trials import run_trials
from slimtune.workload import load_progress
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Workload


def run_search(
    config: SearchConfig,
    out: Path,
    listener: Listener = ignore_events,
    *,
    resume: bool = False,
) -> Run:
    """Run a search and return the run.

    Args:
        config: what to search, on what.
        out: folder of the run; it must not exist, unless ``resume`` is set.
        listener: called with each event of `slimtune.search.listeners.events`, sometimes from
            another thread.
        resume: continue the run in ``out``, if there is one. Finished trials are kept, and
            trials that were running run again from their specs. A time budget starts anew.

    Raises:
        UserError: bad input; nothing has been written then.
        RunError: the run is in use or damaged, or was made with other settings or data.
        SearchFailedError: not one trial finished.
        KeyboardInterrupt: Ctrl-C or SIGTERM; see `Interrupts`. Every finished trial is in the
            run folder.
    """
    budget = Budget.of(config)  # it includes the training of the baseline
    config = config.anchored()
    with (
        tracked(config.log_to, out, listener) as listener,
        _interrupts(listener) as interrupts,
        machines(config, lambda text: listener(Warned(text))),
        load_progress.listening(lambda done, of: listener(Decoding(done, of))),
    ):
        session = _Session(config, out, listener, interrupts, budget)
        if resume and (out / "run.json").is_file():
            return session.resume()
        return session.begin(may_exist=resume)


def _interrupts(listener: Listener) -> Interrupts:
    return Interrupts(lambda grace: listener(Stopping(grace)), stuck=lambda: listener(Stuck()))


@dataclass
class _Session:
    """One call of `run_search`, from before the run folder exists to the report."""

    config: SearchConfig
    out: Path
    listener: Listener
    interrupts: Interrupts
    budget: Budget

    def begin(self, *, may_exist: bool) -> Run:
        """Train and measure the baseline, make the run folder, and run all trials.

        Args:
            may_exist: whether the folder may exist, as that of a search that was killed early.
        """
        config = self.config
        if not may_exist:
            refuse_existing(self.out)
        workload = load_workload(config, load_dataset(config.data), self.warn)
        check_metrics(config.objectives, workload.validation.labels, len(workload.classes))
        check_space(config, workload)
        numbers = training_precision(config, workload)
        with claim(self.out, may_exist), keep_ray():
            params = sum(p.numel() for p in workload.baseline.parameters())
            self._tell_workload(workload, params)
            if numbers.note:
                self.warn(numbers.note)
            check_given_weights(config, workload, self.warn)
            start_ray(config, workload)
            train_missing(workload, config, self._tell_epoch)
            baseline = measure_network(workload, config, config.model)
            networks = {"baseline": baseline.stored}
            self._tell_baseline(baseline.record, workload)
            if workload.teacher is not None:
                networks["teacher"] = self._measured_teacher(workload).stored
            twins, line = grid_twins(config, Twins(workload).key)
            if line:
                self.warn(line)
            manifest = manifest_of(config, workload, baseline.measured, twins)
            folder = RunFolder.begin(self.out, manifest, networks)
            tell_limits(folder, self.listener)
            return self._finish(folder, workload)

    def resume(self) -> Run:
        """Run the trials that a run lacks, with the baseline that it has."""
        before = RunFolder.open(self.out)
        check_same_search(before, self.config)
        with RunLock(self.out):
            workload = reopen_workload(before, self.config)
            learn_groups(self.config, workload)
            folder = record_settings(before, self.config)
            self.config = with_former_defaults(self.config, folder.manifest)
            folder.sweep()
            check_other_files(folder, self.warn)
            baseline = folder.baseline()
            self._tell_workload(workload, baseline["metrics"]["params"])
            self._tell_baseline(baseline, workload)
            tell_limits(folder, self.listener, before)
            with keep_ray():
                return self._finish(folder, workload)

    def _finish(self, folder: RunFolder, workload: Workload) -> Run:
        """Run the trials that are left, then the finals or the joint measurement; report."""
        total = grid_trials(self.config, folder.manifest)
        self.listener = StatusFile(folder.path, total, self.listener)
        search = OpenSearch(
            self.config, folder, workload, self.listener, self.interrupts, self.budget
        )
        stopped = run_trials(search)
        self._refuse_fruitless(folder.records(), stopped)
        if self.config.final.wanted:
            run_finals(search)
        else:
            measure_front(folder, workload, self.warn)
        run = open_run(folder.path)
        if missed := run.nearest_miss():
            self.listener(LimitsMissed(missed))
        volume, share = run.hypervolume(), run.hypervolume_share()
        self.listener(FrontMeasured(volume, share, len(run.front())))
        leave_report(run, self.listener)
        return run

    def _refuse_fruitless(self, records: Sequence[TrialRecord], stopped: str) -> None:
        """Raise SearchFailedError if no trial is complete."""
        if not records:
            raise SearchFailedError(f"no trial was run: {stopped}")
        if any(record.status == "complete" for record in records):
            return
        first = records[0]
        became = f"failed with: {first.error}"
        if first.status == "stopped":
            became = f"was {stopped_words(first.error)}"
        self.listener(Fruitless(first.error))
        raise SearchFailedError(f"no trial finished; the first {became}")

    def _measured_teacher(self, workload: Workload) -> MeasuredNetwork:
        config = self.config
        teacher = measure_network(teacher_as_baseline(workload, config), config, config.teacher)
        numbers = {**teacher.outcome.objectives, **teacher.test}
        self.listener(TeacherMeasured(numbers, config.teacher))
        return teacher

    def warn(self, text: str) -> None:
        """Report a warning to the listener."""
        self.listener(Warned(text))

    def _tell_workload(self, workload: Workload, params: int) -> None:
        config = self.config
        self.listener(workload_facts(config, workload, params))
        for text in training_doubts(config, workload):
            self.warn(text)
        if (config.concurrency or 0) > workers(config):
            self.warn(
                f"{config.concurrency} trials at a time asked for, only {workers(config)} can run"
            )

    def _tell_epoch(self, what: str, epoch: Epoch) -> None:
        self.listener(EpochTrained(what, **vars(epoch)))

    def _tell_baseline(self, record: Mapping[str, Any], workload: Workload) -> None:
        numbers = all_numbers(record)
        self.listener(BaselineMeasured(numbers))
        for text in doubts(numbers, workload):
            self.warn(text)
