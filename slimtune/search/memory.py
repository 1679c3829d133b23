"""A trial that ran out of memory beside others gets a second chance, alone."""

import dataclasses
from collections import deque
from collections.abc import Callable

from slimtune.results.record import TrialRecord
from slimtune.search.attempt import AtStage, OnEvent
from slimtune.search.spec import Outcome, TrialSpec

SIGNS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "killed it, short of memory",  # `Watch`, of Ray
    "OutOfMemoryError",
    "MemoryError",
    "can't allocate memory",  # torch on a CPU
    "not enough memory",  # torch on a CPU of Windows
    "Unable to allocate",  # numpy
)
"""What errors say when memory is short. A segmentation fault or a kill says nothing."""


def ran_out_of_memory(outcome: Outcome) -> bool:
    """Return whether a trial failed because memory was short, of the GPU or of the host."""
    return outcome.status == "failed" and any(sign in outcome.reason for sign in SIGNS)


class SecondChance:
    """Keeps trials that ran out of memory for the end, when nothing else runs.

    Stands between an executor and who calls it: `tell` and `on_event` are for the executor.

    Args:
        tell: receives every other outcome, and theirs after the second attempt.
        on_event: told of everything but the first end of such a trial.
        warn: told of each trial that will run again.
    """

    def __init__(
        self, tell: Callable[[Outcome], None], on_event: OnEvent, warn: Callable[[str], None]
    ) -> None:
        self._tell = tell
        self._on_event = on_event
        self._warn = warn
        self._specs: dict[int, TrialSpec] = {}
        self._waiting: deque[TrialSpec] = deque()
        self._tried: set[int] = set()

    def waits(self) -> bool:
        """Return whether a trial waits for its second attempt."""
        return bool(self._waiting)

    def ask(self) -> TrialSpec | None:
        """Return the next trial that waits, or None when there are no more."""
        return self._waiting.popleft() if self._waiting else None

    def tell(self, outcome: Outcome) -> None:
        """Pass an outcome on, or keep the trial for later."""
        number = outcome.number
        if not ran_out_of_memory(outcome):
            self._tell(outcome)
        elif number in self._tried:
            self._tell(_twice(outcome))
        else:
            self._tried.add(number)
            self._waiting.append(self._specs[number])
            self._warn(f"trial {number} runs again at the end, alone: {outcome.reason}")

    def on_event(self, name: str, what: TrialSpec | Outcome | AtStage) -> None:
        """Pass an event on, but for the end of a first attempt that nobody was told of."""
        if isinstance(what, TrialSpec):
            self._specs[what.number] = what
        if not any(spec.number == what.number for spec in self._waiting):
            self._on_event(name, what)


def _twice(outcome: Outcome) -> Outcome:
    """Return an outcome whose reason says that it was the second of its kind."""
    reason = f"out of memory twice, the second time alone: {outcome.reason}"
    record = outcome.payload
    if isinstance(record, TrialRecord):
        record = dataclasses.replace(record, error=reason)
    return dataclasses.replace(outcome, reason=reason, payload=record)
