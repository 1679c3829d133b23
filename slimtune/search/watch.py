"""Watches the processes of the trials on Ray: hung ones are killed, dead ones asked for why."""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray import tune

GRACE_SECONDS = 5.0
"""From the moment at which a trial should have ended by itself to the end of its process."""

SHORT = "out of memory: Ray killed it, short of memory on its host"


class Watch(tune.Callback):
    """Ends trials that outlast their time; tells why the process of a trial died.

    The death of a node is not a failure of the trials on it, so they keep their attempts.

    Args:
        seconds: that a trial may take; None for no limit.
        clock: seconds that never run backwards.
    """

    def __init__(
        self, seconds: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._started: dict[str, float] = {}
        self._reasons: dict[str, str] = {}

    def reason(self, trial_id: str) -> str:
        """Return why a trial's process died, as far as is known; or an empty string."""
        return self._reasons.get(trial_id, "")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Begin to count: the process is there and gets to work."""
        self._started[trial.trial_id] = self._clock()

    def on_trial_complete(
        self, iteration: int, trials: list[Any], trial: Any, **info: Any
    ) -> None:
        """Stop counting."""
        self._started.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Stop counting."""
        self._started.pop(trial.trial_id, None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note why a trial's process died, of which it runs again in another."""
        self._started.pop(trial.trial_id, None)
        last = (trial.get_error() or "").rpartition("Failure # ")[2]
        if "its node has died" in last:
            trial.max_failures += 1
        elif "running low on memory" in last:
            self._reasons[trial.trial_id] = SHORT

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Kill the process of every trial that should have ended by itself a while ago."""
        if self._seconds is None:
            return
        due = self._clock() - self._seconds - GRACE_SECONDS
        for trial in trials:
            if self._started.get(trial.trial_id, due) < due:
                self._end(trial)

    def _end(self, trial: Any) -> None:
        process = trial.temporary_state.ray_actor
        if process is None:
            return
        del self._started[trial.trial_id]
        self._reasons[trial.trial_id] = (
            f"timeout after {self._seconds:g} s: it did not react, and its process was killed"
        )
        trial.max_failures = 0  # it would hang again
        ray.kill(process)
