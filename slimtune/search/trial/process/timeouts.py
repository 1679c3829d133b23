"""Time limits: a trial that takes too long raises, wherever it runs Python code."""

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from slimtune.errors import TrialTimeoutError
from slimtune.search.trial.attempt import Aids, Work
from slimtune.search.trial.spec import Outcome, TrialSpec

REPEAT_SECONDS = 5.0
"""After this time the alarm rings again. An exception that is raised in a callback of C code can
get lost, and some libraries catch every exception."""


@dataclass(frozen=True)
class TimeLimited:
    """The body of a trial, which `TrialTimeoutError` ends after a time.

    It cannot end native code that never returns to Python; on Ray, `ProcessWatch` does.

    Attributes:
        work: the body.
        seconds: that it may take.
    """

    work: Work
    seconds: float

    def __call__(self, shared: Any, spec: TrialSpec, aids: Aids) -> Outcome:
        """Run the body within the time limit."""
        with alarm(self.seconds):
            return self.work(shared, spec, aids)


def with_time_limit(work: Work, seconds: float | None) -> Work:
    """Return ``work`` with a time limit in seconds; with None, ``work`` itself."""
    return work if seconds is None else TimeLimited(work, seconds)


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise `TrialTimeoutError` in the block once it has taken ``seconds``.

    In the main thread of a Unix process a signal raises it, which also ends blocking calls. An
    alarm that was set before continues after the block. In another thread it is raised between
    two steps of Python.
    """
    if not _can_ring():
        with _thread_alarm(seconds):
            yield
        return
    armed = True

    def ring(_number: int, _frame: FrameType | None) -> None:
        if armed:
            raise TrialTimeoutError(f"timeout after {seconds:g} s")

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    outer_seconds, interval = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        try:
            yield
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if outer_seconds:
            signal.setitimer(
                signal.ITIMER_REAL, max(1e-3, outer_seconds - (time.monotonic() - began)), interval
            )


@contextmanager
def _thread_alarm(seconds: float) -> Iterator[None]:
    thread, lock, done = threading.get_ident(), threading.Lock(), threading.Event()

    def ring() -> None:
        late = seconds
        while not done.wait(late):
            late = REPEAT_SECONDS
            with lock:
                if not done.is_set():
                    _raise_in(thread, TrialTimeoutError)

    threading.Thread(target=ring, daemon=True).start()
    try:
        yield
    except TrialTimeoutError:  # raised as a class, without words
        raise TrialTimeoutError(f"timeout after {seconds:g} s") from None
    finally:
        with lock:
            done.set()
            _raise_in(thread, None)  # takes back an exception that has not been raised yet


def _raise_in(thread: int, error: type[Exception] | None) -> None:
    """Make a thread raise ``error`` before its next step of Python; None withdraws it."""
    pending = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), pending)


def _can_ring() -> bool:
    return hasattr(signal, "setitimer") and (threading.current_thread() is threading.main_thread())
