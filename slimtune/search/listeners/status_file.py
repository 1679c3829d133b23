"""Keeps status.json up to date, for programs that watch a run; see `results.store.status`."""

import threading
import time
from pathlib import Path

from slimtune.results.store.status import TrialStatus, write_status
from slimtune.search.listeners.events import (
    Event,
    FrontMeasured,
    Fruitless,
    Listener,
    PhaseEntered,
    Resumed,
    SearchStopped,
    TrialFinished,
    TrialStarted,
)


class StatusFile:
    """A listener that writes the status of a run, and passes every event on.

    Args:
        run: the run folder.
        total: trials of the search.
        listener: receives every event, from two threads, as this one does.
    """

    def __init__(self, run: Path, total: int, listener: Listener) -> None:
        self._run = run
        self._total = total
        self._listener = listener
        self._running: dict[int, TrialStatus] = {}
        self._reason = ""
        self._finished = False
        self._start = time.time()
        self._before = 0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write the status if the event changes it, then pass the event on."""
        with self._lock:
            if self._note(event):
                write_status(
                    self._run,
                    total=self._total,
                    running=list(self._running.values()),
                    finished=self._finished,
                    reason=self._reason,
                    begun=self._start,
                    before=self._before,
                )
        self._listener(event)

    def _note(self, event: Event) -> bool:
        """Return whether the event changes the status."""
        match event:
            case Resumed():
                self._total, self._before = event.total, len(event.records)
            case TrialStarted(number, pipeline):
                self._running[number] = TrialStatus(number, pipeline, "", time.time())
            case PhaseEntered(number, phase):
                return self._enter(number, phase)
            case TrialFinished(record):
                self._running.pop(record.number, None)
            case SearchStopped(reason):
                self._reason = reason
            case FrontMeasured() | Fruitless():
                self._finished = True
            case _:
                return False
        return True

    def _enter(self, number: int, phase: str) -> bool:
        trial = self._running.get(number)
        if trial is None:  # it finished while the news was under way
            return False
        self._running[number] = TrialStatus(number, trial.pipeline, phase, trial.since)
        return True
