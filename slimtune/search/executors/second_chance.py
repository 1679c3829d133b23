"""A trial that ran out of memory beside others gets a second chance, alone."""

import dataclasses
from collections import deque
from collections.abc import Callable

from slimtune.results.store.record import TrialRecord
from slimtune.search.trial.attempt import AtStage, OnEvent
from slimtune.search.trial.spec import Outcome, TrialSpec

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


Called = Callable[[int], str]
"""What the trial of a spec with this number is called when users are told of it."""


def trial_words(number: int) -> str:
    """Return what a trial of the search itself is called."""
    return f"trial {number}"


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
        called: what a trial of this number is called there.
    """

    def __init__(
        self,
        tell: Callable[[Outcome], None],
        on_event: OnEvent,
        warn: Callable[[str], None],
        called: Called = trial_words,
    ) -> None:
        self._tell = tell
        self._on_event = on_event
        self._warn = warn
        self._called = called
        self._specs: dict[int, TrialSpec] = {}
        self._waiting: deque[TrialSpec] = deque()
        self._tried: set[int] = set()
        self._held: set[int] = set()  # asked by other threads, which a deque does not bear

    def waits(self) -> bool:
        """Return whether a trial waits for its second attempt."""
        return bool(self._waiting)

    def ask(self) -> TrialSpec | None:
        """Return the next trial that waits, or None when there are no more."""
        if not self._waiting:
            return None
        spec = self._waiting.popleft()
        self._held.discard(spec.number)
        return spec

    def tell(self, outcome: Outcome) -> None:
        """Pass an outcome on, or keep the trial for later."""
        number = outcome.number
        if not ran_out_of_memory(outcome):
            self._tell(outcome)
        elif number in self._tried:
            self._tell(_twice(outcome))
        else:
            self._tried.add(number)
            self._held.add(number)
            self._waiting.append(self._specs[number])
            words = self._called(number)
            self._warn(f"{words} runs again at the end, alone: {outcome.reason}")

    def on_event(self, name: str, what: TrialSpec | Outcome | AtStage) -> None:
        """Pass an event on, but for the end of a first attempt that nobody was told of.

        News of stages come from a thread of their own.
        """
        if isinstance(what, TrialSpec):
            self._specs[what.number] = what
        if what.number not in self._held:
            self._on_event(name, what)


def _twice(outcome: Outcome) -> Outcome:
    """Return an outcome whose reason says that it was the second of its kind."""
    reason = f"out of memory twice, the second time alone: {outcome.reason}"
    record = outcome.payload
    if isinstance(record, TrialRecord):
        record = dataclasses.replace(record, error=reason)
    return dataclasses.replace(outcome, reason=reason, payload=record)
