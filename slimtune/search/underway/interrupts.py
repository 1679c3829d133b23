"""Ctrl-C and SIGTERM: once, and running trials get a grace period; twice, at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

GRACE_SECONDS = 10.0
UNHEEDED = 2
"""Interrupts that the main thread may leave unheeded, a grace period each, before it is stuck."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Takes the signals over for a block; outside the main thread it leaves them alone.

    Within `patient` the first signal only sets ``requested``, and the second, or the end of the
    grace period, raises KeyboardInterrupt. Elsewhere in the block the first one raises.

    Args:
        notify: called with the grace period when it begins, in a thread of its own.
        grace: seconds.
        stuck: called in that thread if the block does not end all the same: the main thread
            waits in native code, where Python cannot interrupt it, as for a Ray whose own
            processes the same signal has ended.

    Attributes:
        requested: whether the search shall end; then no new trial may start.
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
        """Be patient within the block.

        Raises:
            KeyboardInterrupt: at the end of the block, if a signal came within it.
        """
        self._patient, self._over = True, threading.Event()  # of this block; there may be more
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
