"""Tells who watches a run from outside how it stands: `results.status`, kept up to date."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slimtune.results.store.status import RunningTrial, write_status

Listener = Callable[[str, Mapping[str, Any]], None]


class StatusFile:
    """A listener of `run_search` that passes every event on, and writes down what it means.

    Args:
        run: the run folder.
        total: trials that there shall be.
        listener: told of everything; may be called from two threads, as this one may.
    """

    def __init__(self, run: Path, total: int, listener: Listener) -> None:
        self._run = run
        self._total = total
        self._listener = listener
        self._running: dict[int, RunningTrial] = {}
        self._reason = ""
        self._finished = False
        self._begun = time.time()
        self._before = 0
        self._lock = threading.Lock()

    def __call__(self, event: str, values: Mapping[str, Any]) -> None:
        """Note one event, then pass it on."""
        with self._lock:
            if self._note(event, values):
                write_status(
                    self._run,
                    total=self._total,
                    running=list(self._running.values()),
                    finished=self._finished,
                    reason=self._reason,
                    begun=self._begun,
                    before=self._before,
                )
        self._listener(event, values)

    def _note(self, event: str, values: Mapping[str, Any]) -> bool:
        """Return whether the event changed anything."""
        if event == "resumed":
            self._total, self._before = values["total"], len(values["records"])
        elif event == "started":
            number = values["number"]
            self._running[number] = RunningTrial(number, values["pipeline"], "", time.time())
        elif event == "stage":
            trial = self._running.get(values["number"])
            if trial is None:  # it finished while the news was under way
                return False
            self._running[trial.number] = RunningTrial(
                trial.number, trial.pipeline, values["stage"], trial.since
            )
        elif event == "finished":
            self._running.pop(values["record"].number, None)
        elif event == "stopped":
            self._reason = values["reason"]
        elif event in ("final", "fruitless"):
            self._finished = True
        else:
            return False
        return True
