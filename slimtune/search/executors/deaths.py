"""Watches the processes of the trials on Ray: kills hung ones, and finds out why others died."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune

GRACE_SECONDS = 5.0
"""Seconds from the time limit, when a trial should end itself, until its process is killed."""
START_SECONDS = 600.0
"""Seconds that a process may take before its trial begins: to import torch, to fetch the data."""
SHORT = "out of memory: Ray killed it, short of memory on its host"


@dataclass(frozen=True)
class Death:
    """Why the process of a trial died before its trial had ended.

    Attributes:
        reason: in one line; empty if it is unknown.
        final: whether another attempt would die too, so that none is made.
        blamed: whether the trial may have caused it; a trial does not cause the death of a node.
    """

    reason: str = ""
    final: bool = False
    blamed: bool = True


class ProcessWatch(tune.Callback):
    """Kills trials that exceed their time limit, and reports why the process of a trial died.

    Args:
        died: called with Tune's id of each trial whose process died, and with the cause.
        elapsed: returns for how many seconds the trial of an id has been running; None if it has
            not begun. It asks another process, so it is called only when a trial may be late.
        seconds: that a trial may take; None for no limit.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        died: Callable[[str, Death], None],
        elapsed: Callable[[str], float | None],
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._died = died
        self._elapsed = elapsed
        self._seconds = seconds
        self._clock = clock
        self._started: dict[str, float] = {}
        self._next_check: dict[str, float] = {}
        self._killed: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Tune saves its callbacks, but nothing ever reads them."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Start the time of a trial whose process is there."""
        if self._seconds is not None:
            self._started[trial.trial_id] = self._clock()
            self._next_check[trial.trial_id] = self._clock() + self._seconds + GRACE_SECONDS

    def on_trial_complete(
        self, iteration: int, trials: list[Any], trial: Any, **info: Any
    ) -> None:
        """Stop the time of a trial."""
        self._next_check.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Stop the time of a trial, and report why its process died."""
        self._next_check.pop(trial.trial_id, None)
        if trial.trial_id in self._killed:
            text = f"timeout after {self._seconds:g} s: it did not react, and its process was "
            self._died(trial.trial_id, Death(text + "killed", final=True))
        else:
            self._died(trial.trial_id, cause_of(trial.get_error() or ""))

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Kill the process of every trial that should have ended itself `GRACE_SECONDS` ago."""
        now = self._clock()
        for trial in trials:
            if self._next_check.get(trial.trial_id, math.inf) <= now:
                self._kill_if_late(trial, now)

    def _kill_if_late(self, trial: Any, now: float) -> None:
        process = trial.temporary_state.ray_actor
        running = self._elapsed(trial.trial_id)
        if running is None:  # a process that never begins its trial is late too, but later
            running = now - self._started[trial.trial_id] - START_SECONDS
        seconds_left = (self._seconds or 0.0) + GRACE_SECONDS - running
        if seconds_left > 0 or process is None:
            self._next_check[trial.trial_id] = now + min(seconds_left, GRACE_SECONDS)
            return
        del self._next_check[trial.trial_id]
        self._killed.add(trial.trial_id)
        ray.kill(process)


def cause_of(error: str) -> Death:
    """Return why a process died.

    Args:
        error: the text of Ray's error.
    """
    if "node has died" in error or "node was preempted" in error:
        return Death(blamed=False)
    return Death(SHORT if "running low on memory" in error else "")


def lost_words(error: Exception) -> str:
    """Return in one line why the mailbox, which collects outcomes, does not answer.

    Args:
        error: of Ray.
    """
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    why = cause_of(str(error)).reason or (first if len(first) <= 200 else f"{first[:199]}…")
    return f"the process that collects outcomes has died: {why}; --resume continues the search"
