"""Gives a trial that ran out of memory beside others a second attempt, alone."""

import dataclasses
from collections import deque
from collections.abc import Callable

from slimtune.results.store.record import TrialRecord
from slimtune.search.trial.attempt import AtPhase
from slimtune.search.trial.driver import Driver, Relay
from slimtune.search.trial.spec import Outcome, TrialSpec

SIGNS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "killed it, short of memory",  # `ProcessWatch`, of Ray
    "OutOfMemoryError",
    "MemoryError",
    "can't allocate memory",  # torch on a CPU
    "not enough memory",  # torch on a CPU of Windows
    "Unable to allocate",  # numpy
)
"""Texts of errors for want of memory. A segmentation fault or a kill has no such text."""


def ran_out_of_memory(outcome: Outcome) -> bool:
    """Return whether a trial failed because memory was short, of the GPU or of the host."""
    return outcome.status == "failed" and any(sign in outcome.reason for sign in SIGNS)


class SecondChance(Relay):
    """Stands between an executor and its driver, and repeats trials that ran out of memory.

    They wait until all other trials have ended. The driver does not learn of their first outcome.

    Args:
        driver: is told every other outcome, and theirs after the second attempt.
        warn: called for each trial that will run again.
    """

    def __init__(self, driver: Driver, warn: Callable[[str], None]) -> None:
        super().__init__(driver)
        self._warn = warn
        self._specs: dict[int, TrialSpec] = {}
        self._waiting: deque[TrialSpec] = deque()
        self._attempted: set[int] = set()
        self._waiting_numbers: set[int] = (
            set()
        )  # read by other threads, for which a deque is not safe
        self._second_round = False

    def has_waiting(self) -> bool:
        """Return whether a trial waits for its second attempt."""
        return bool(self._waiting)

    def start_second_attempts(self) -> None:
        """Supply the waiting trials from now on."""
        self._second_round = True

    def ask(self) -> TrialSpec | None:
        """Return the driver's next trial; in the second round, the next that waits."""
        if not self._second_round:
            return super().ask()
        if not self._waiting or self.stopping:
            return None
        spec = self._waiting.popleft()
        self._waiting_numbers.discard(spec.number)
        return spec

    def tell(self, outcome: Outcome) -> None:
        """Pass an outcome on, or let the trial wait for a second attempt."""
        number = outcome.number
        if not ran_out_of_memory(outcome):
            super().tell(outcome)
        elif number in self._attempted:
            super().tell(_failed_twice(outcome))
        else:
            self._attempted.add(number)
            self._waiting_numbers.add(number)
            self._waiting.append(self._specs[number])
            words = self.name_of(number)
            self._warn(f"{words} runs again at the end, alone: {outcome.reason}")

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        """Pass an event on, unless it is of a trial that waits for its second attempt.

        News of phases come from a thread of their own.
        """
        if isinstance(what, TrialSpec):
            self._specs[what.number] = what
        if what.number not in self._waiting_numbers:
            super().on_event(what)


def _failed_twice(outcome: Outcome) -> Outcome:
    """Return an outcome whose reason says that both attempts ran out of memory."""
    reason = f"out of memory twice, the second time alone: {outcome.reason}"
    record = outcome.payload
    if isinstance(record, TrialRecord):
        record = dataclasses.replace(record, error=reason)
    return dataclasses.replace(outcome, reason=reason, payload=record)
