"""Ctrl-C and SIGTERM: the first lets running trials end within a grace period, the second none."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

GRACE_SECONDS = 10.0
UNHEEDED = 2
"""Interrupts, one each grace period, that may have no effect before the main thread counts as
stuck."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Handles the signals within a block; outside the main thread it does nothing.

    Within `patient` the first signal only sets ``requested``, and the second one, or the end of
    the grace period, raises KeyboardInterrupt. Elsewhere in the block the first signal raises.

    Args:
        notify: called with the grace period in seconds when it begins, in a thread of its own.
        grace: the grace period, seconds.
        stuck: called in that thread if the block still does not end. Then the main thread waits
            in native code, where Python cannot interrupt it, such as for a Ray whose processes
            the same signal has ended.

    Attributes:
        requested: whether a signal has asked the search to end; then no new trial may start.
    """

    def __init__(
        self,
        notify: Callable[[float], None],
        grace: float = GRACE_SECONDS,
        stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self._notify = notify
        self._grace = grace
        self._stuck = stuck
        self._patient = False
        self._over = threading.Event()
        self._before: dict[signal.Signals, Any] = {}
        self.requested = False

    def __enter__(self) -> Self:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the handlers that were there before."""
        self._over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Give running trials a grace period after the first signal, within the block.

        Raises:
            KeyboardInterrupt: at the end of the block, if a signal came within it.
        """
        self._patient, self._over = True, threading.Event()  # one for each block
        try:
            yield
        finally:
            self._patient = False
            self._over.set()
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if not self._patient or self.requested:
            raise KeyboardInterrupt
        self.requested = True
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self._notify(self._grace)
        # More than once: an exception that is raised within a callback of C code can get lost.
        interrupts = 0
        while not self._over.wait(self._grace):
            if interrupts == UNHEEDED:
                self._stuck()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            interrupts += 1
