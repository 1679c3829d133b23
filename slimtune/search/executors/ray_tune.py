"""Runs the trials in parallel on Ray Tune, which schedules them and decides nothing.

Each call builds a new Tuner around the driver; no state of Tune is kept or read.
The inputs that all trials share go into Ray's object store once. Outcomes come back through a
mailbox, an actor on the driver's host: Tune's own results are small dicts of scalars, and files
would need a file system that driver and workers share.
"""

import json
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import ray
from ray import cloudpickle, tune
from ray.tune.search import Searcher

from slimtune.errors import SlimtuneError
from slimtune.search.executors.assignment import with_assigned_resources
from slimtune.search.executors.deaths import Death, ProcessWatch, lost_words
from slimtune.search.executors.latency_lane import (
    latency_lane,
    measure_on_reference_host,
    quiet_window,
)
from slimtune.search.executors.mailbox import make_mailbox
from slimtune.search.executors.phase_news import PhaseNews
from slimtune.search.executors.ray_folder import tune_folder
from slimtune.search.executors.ray_session import ray_session
from slimtune.search.executors.trial_scheduler import REPORT, JudgingScheduler, SilentReporter
from slimtune.search.executors.trial_thread import TrialThread
from slimtune.search.trial.attempt import Aids, Judge, Work, attempt, no_judge
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.process.allocator import keep_freed_memory
from slimtune.search.trial.process.timeouts import with_time_limit
from slimtune.search.trial.spec import Outcome, TrialSpec

RETRIES = 2
"""Times that a trial runs again after its process died; the death of its node does not count."""
DIED = (
    f"no outcome after {RETRIES + 1} attempts: its process died (killed, out of memory, or a "
    "crash in native code)"
)


@dataclass(frozen=True)
class RayExecutor:
    """Runs trials in parallel on Ray Tune.

    With a concurrency of 1 it tells each outcome before it asks for the next trial, as
    `InlineExecutor` does. A trial whose process dies runs again from its start, up to `RETRIES`
    times, and then fails.

    Attributes:
        concurrency: trials at a time, at least 1.
        cpus_per_trial: CPUs that Ray reserves for one.
        gpus_per_trial: GPUs, or the fraction of one; bookkeeping, not a memory limit.
        address: of a Ray cluster, ``"host:port"`` or ``"auto"``; None starts Ray here, unless
            this process is connected to one already.
        timeout: seconds that a trial may take; the process of one that hangs is killed.
    """

    concurrency: int
    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    address: str | None = None
    timeout: float | None = None

    def run(self, work: Work, shared: Any, driver: Driver) -> None:
        """Run every trial that the driver supplies.

        The driver is called in this process and thread, with two exceptions: another thread
        reports the phases, and another process on this host calls ``fetch_entry``. A trial waits
        at each of its rungs for the judge. If the judge stops it, the driver is told the outcome
        as it was at that rung, and the worker takes the next trial.

        Args:
            work: the body of a trial; runs in worker processes, which are reused.
            shared: handed to ``work``; its numpy arrays are read-only there and are not copied.
            driver: asked until it returns no more trials.

        Raises:
            ConfigError: not even one trial fits the resources.
            SlimtuneError: Ray cannot be started or reached, or breaks down.
            KeyboardInterrupt: Ctrl-C. The driver has been told of every trial that had ended.
        """
        work = with_time_limit(work, self.timeout)
        with (
            self._session(pickled_bytes((work, shared))),
            latency_lane(),
            tune_folder() as folder,
        ):
            name = f"slimtune-mailbox-{uuid.uuid4().hex}"
            mailbox = make_mailbox(name, ray.put((work, shared)), driver.fetch_entry)
            search = _Search(driver, mailbox, name)
            try:
                with PhaseNews(mailbox, driver.on_event):
                    self._fit(search, folder)
            finally:
                ray.kill(mailbox)

    def _session(self, shared_bytes: int) -> AbstractContextManager[None]:
        return ray_session(
            self.address,
            concurrency=self.concurrency,
            cpus=self.cpus_per_trial,
            gpus=self.gpus_per_trial,
            shared_bytes=shared_bytes,
        )

    def _fit(self, search: "_Search", folder: Path) -> None:
        watch = ProcessWatch(search.died, search.elapsed, self.timeout)
        resources = {"cpu": self.cpus_per_trial, "gpu": self.gpus_per_trial}
        tuner = tune.Tuner(
            tune.with_resources(_RayTrial, resources),
            tune_config=tune.TuneConfig(
                search_alg=search,
                scheduler=JudgingScheduler(search.ends),
                num_samples=-1,
                max_concurrent_trials=self.concurrency,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=str(folder),
                verbose=0,
                progress_reporter=SilentReporter(),
                # `died` runs trials again. Tune would not, for a process that dies before its
                # trial begins.
                failure_config=tune.FailureConfig(max_failures=0),
                callbacks=[watch],
                # True by default for a class; a failure to save would count as the trial's.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        _run(tuner, search)


def _run(tuner: tune.Tuner, search: "_Search") -> None:
    """Run Tune to its end, and raise what went wrong."""
    failure = None
    try:
        tuner.fit()
    except Exception as error:
        failure = error
    except KeyboardInterrupt:
        search.tell_remaining()
        raise
    search.tell_remaining()
    if search.error is not None:  # of `ask` or `tell`; Tune's own error says less
        raise search.error
    if failure is not None:
        raise SlimtuneError(f"Ray Tune failed: {str(failure).splitlines()[0]}") from failure
    if search.at_work():  # on SIGINT, Tune stops and returns as if all was well
        raise KeyboardInterrupt


class _Search(Searcher):
    """Presents a driver to Tune as a searcher.

    Tune calls it back while it changes its own state, and treats an exception in `ends` or in
    `on_trial_complete` as a failure of the trial. So these two keep an exception in ``error``,
    and `suggest` raises it: there an exception ends the whole experiment.
    """

    def __init__(self, driver: Driver, mailbox: Any, mailbox_name: str) -> None:
        super().__init__(None, None)
        self._driver = driver
        self._judge = driver.judge
        self._mailbox = mailbox
        self._mailbox_name = mailbox_name
        self._stopped: dict[str, Outcome] = {}
        self._reruns: deque[TrialSpec] = deque()
        self._deaths: Counter[int] = Counter()
        self.open: dict[str, TrialSpec] = {}
        self.exhausted = False
        self.error: Exception | None = None

    def suggest(self, trial_id: str) -> Any:
        if self.error is not None:
            raise self.error
        spec = self._reruns.popleft() if self._reruns else self._next()
        if spec is None:  # a running trial may have to run again
            return None if self.open else Searcher.FINISHED
        self.open[trial_id] = spec
        # As text, because Tune would look for search spaces in a mapping.
        return {
            "number": spec.number,
            "spec": json.dumps(spec.to_dict()),
            "mailbox": self._mailbox_name,
            "judged": self._judge is not no_judge,
        }

    def _next(self) -> TrialSpec | None:
        if self.exhausted:
            return None
        try:
            spec = self._driver.ask()
            if spec is not None:
                self._driver.on_event(spec)
        except Exception as error:
            self.error = error
            raise
        self.exhausted = spec is None
        return spec

    def ends(self, trial_id: str, report: str) -> bool:
        """Return whether the judge ends a trial that waits at a rung.

        Args:
            trial_id: of Tune.
            report: name of the report in the mailbox.
        """
        spec = self.open.get(trial_id)
        if spec is None or trial_id in self._stopped:
            return trial_id in self._stopped
        try:
            outcome: Outcome | None = ray.get(self._mailbox.read.remote(spec.number, report))
            # None: the report of an attempt whose process died; the next attempt reports again.
            reason = "" if outcome is None else self._judge(outcome)
        except Exception as error:  # for the next `suggest`
            self.error = self.error or error
            return False
        if outcome is not None and reason:
            self._stopped[trial_id] = replace(outcome, reason=reason)
        return bool(reason)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        spec = self.open.get(trial_id)
        if spec is None:
            return
        outcome = self._outcome(trial_id, spec)
        if outcome is None and error:
            return  # Tune calls `ProcessWatch` next, which calls `died`
        del self.open[trial_id]
        self._finish(outcome or Outcome(number=spec.number, status="failed", reason=DIED))

    def died(self, trial_id: str, death: Death) -> None:
        """Run a trial again whose process died without an outcome, or let it fail."""
        spec = self.open.pop(trial_id, None)
        if spec is None:
            return
        self._deaths[spec.number] += death.blamed
        if death.final or self._deaths[spec.number] > RETRIES:
            reason = death.reason or DIED
            self._finish(Outcome(number=spec.number, status="failed", reason=reason))
        else:
            self._reruns.append(spec)

    def elapsed(self, trial_id: str) -> float | None:
        """Return for how many seconds a trial has been running; None if it has not begun."""
        spec = self.open.get(trial_id)
        if spec is None:
            return None
        seconds: float | None = ray.get(self._mailbox.elapsed.remote(spec.number))
        return seconds

    def at_work(self) -> bool:
        """Return whether trials are left, which means that Tune has stopped early."""
        return bool(self.open or self._reruns) or not self.exhausted

    def tell_remaining(self) -> None:
        """Tell the outcomes that Tune had not fetched when it stopped."""
        for trial_id, spec in list(self.open.items()):
            if (outcome := self._outcome(trial_id, spec)) is not None:
                del self.open[trial_id]
                self._finish(outcome)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the study is the state."""

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Tune saves its searcher, but nothing ever reads it.

        The driver holds a study and a terminal, which cannot be pickled.
        """
        return {}

    def _outcome(self, trial_id: str, spec: TrialSpec) -> Outcome | None:
        stopped = self._stopped.pop(trial_id, None)
        return self._take(spec) if stopped is None else stopped

    def _take(self, spec: TrialSpec) -> Outcome | None:
        try:
            outcome: Outcome | None = ray.get(self._mailbox.take.remote(spec.number))
        except ray.exceptions.RayError as error:
            self.error = self.error or SlimtuneError(lost_words(error))
            return None
        return outcome

    def _finish(self, outcome: Outcome) -> None:
        # Tune would treat an exception here as the trial's, and run the trial again: keep it
        # for the next `suggest`.
        try:
            self._driver.tell(outcome)
            self._driver.on_event(outcome)
        except Exception as error:
            self.error = self.error or error


class _RayTrial(tune.Trainable):
    """A worker process: runs one trial after another, on inputs that it fetches once."""

    def setup(self, config: dict[str, Any]) -> None:
        self._spec = TrialSpec.from_dict(json.loads(config["spec"]))
        self._mailbox = ray.get_actor(config["mailbox"])
        self._inputs: tuple[Work, Any] | None = None
        self._judged: bool = config["judged"]
        self._running: TrialThread | None = None
        self._quiet = quiet_window()
        keep_freed_memory()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self._spec = TrialSpec.from_dict(json.loads(new_config["spec"]))
        return True

    def cleanup(self) -> None:
        """End a trial that the judge stopped; its thread still waits for the judge's answer."""
        running, self._running = self._running, None
        if running is not None:
            running.end()

    def step(self) -> dict[str, Any]:
        if not self._judged:
            return self._hand_in(self._attempt(no_judge))
        if self._running is None:
            self._running = TrialThread(self._attempt)
        outcome = self._running.advance()
        if self._running.over:
            self._running = None
            return self._hand_in(outcome)
        report = uuid.uuid4().hex
        ray.get(self._mailbox.report.remote(self._spec.number, report, outcome))
        return {"done": False, REPORT: report}

    def _attempt(self, judge: Judge) -> Outcome:
        aids = Aids(
            judge,
            self._fetch_entry,
            measure_on_reference_host,
            self._tell_phase,
            self._quiet.pause,
        )
        return attempt(self._work, None, with_assigned_resources(self._spec), aids)

    def _hand_in(self, outcome: Outcome) -> dict[str, Any]:
        ray.get(self._mailbox.put.remote(self._spec.number, outcome))
        return {"done": True}

    def _fetch_entry(self, key: str) -> Mapping[str, bytes] | None:
        return cast(Mapping[str, bytes] | None, ray.get(self._mailbox.fetch_entry.remote(key)))

    def _tell_phase(self, phase: str) -> None:
        self._mailbox.enter_phase.remote(self._spec.number, phase)  # without waiting for an answer

    def _work(self, _shared: Any, spec: TrialSpec, aids: Aids) -> Outcome:
        # Fetched here and not in `setup`: if the worker cannot import something, the trial
        # fails with that message.
        if self._inputs is None:
            references: list[Any] = ray.get(self._mailbox.inputs.remote())
            self._inputs = ray.get(references[0])
        work, shared = self._inputs
        ray.get(self._mailbox.begin.remote(spec.number))
        return work(shared, spec, aids)


def _trial_name(trial: Any) -> str:
    return f"trial-{trial.config['number']}-{trial.trial_id}"  # one may run more than once


def pickled_bytes(value: object) -> int:
    """Return the bytes of ``value`` in the object store; arrays are counted without a copy."""
    buffers: list[Any] = []
    inline = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return len(inline) + sum(buffer.raw().nbytes for buffer in buffers)
