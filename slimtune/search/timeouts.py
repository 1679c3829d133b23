"""A trial that takes too long raises, wherever Python is at work in it."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from slimtune.errors import ConfigError, TrialTimeoutError
from slimtune.search.attempt import Aids, Work
from slimtune.search.spec import Outcome, TrialSpec

REPEAT_SECONDS = 5.0
"""After it the alarm rings again: an exception raised within a callback of C code can get lost,
and some libraries catch every exception and go on."""


@dataclass(frozen=True)
class Timed:
    """The body of a trial, ended after a time with `TrialTimeoutError`.

    Code that does not come back to Python is not ended by it; on Ray, `Watch` does that.

    Attributes:
        work: the body.
        seconds: that it may take.
    """

    work: Work
    seconds: float

    def __call__(self, shared: Any, spec: TrialSpec, aids: Aids) -> Outcome:
        """Do the work in time."""
        with alarm(self.seconds):
            return self.work(shared, spec, aids)


def timed(work: Work, seconds: float | None) -> Work:
    """Return ``work`` with a time limit; without one, as it is."""
    return work if seconds is None else Timed(work, seconds)


def check_alarm() -> None:
    """Check that trials in this very process can be timed.

    Raises:
        ConfigError: they cannot.
    """
    if not _can_ring():
        raise ConfigError(
            "per_trial.timeout: without Ray, only the main thread of a Unix process can end a "
            "trial, but the search runs in another; use the Ray executor, or no timeout"
        )


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise `TrialTimeoutError` in the block once it has taken ``seconds``.

    Only in the main thread; elsewhere nothing is raised. An alarm that was set before goes on
    after the block.
    """
    if not _can_ring():
        yield
        return
    armed = True

    def ring(_number: int, _frame: FrameType | None) -> None:
        if armed:
            raise TrialTimeoutError(f"timeout after {seconds:g} s")

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        try:
            yield
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(
                signal.ITIMER_REAL, max(1e-3, left - (time.monotonic() - began)), interval
            )


def _can_ring() -> bool:
    return hasattr(signal, "setitimer") and (threading.current_thread() is threading.main_thread())
