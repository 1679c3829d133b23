"""Reports how many images are decoded, to a listener set by `listening`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Tell = Callable[[int, int], None]
"""Called with the number of images that are decoded, and of how many."""

PAUSE = 0.5
"""Seconds between two reports that redraw one line."""

LINES = 5.0
"""Seconds between two reports that each print a line of their own."""

_LISTENER: ContextVar[Tell | None] = ContextVar("listener", default=None)


@contextmanager
def listening(
    tell: Tell, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Report the progress of decoding images, for the time of the block and in this thread.

    Decoding that takes less than a pause is not reported.

    Args:
        tell: called after each pause.
        pause: seconds between two calls.
        clock: seconds.
    """
    last = clock()

    def seldom(done: int, total: int) -> None:
        nonlocal last
        if clock() - last >= pause:
            last = clock()
            tell(done, total)

    token = _LISTENER.set(seldom)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_decoded(done: int, total: int) -> None:
    """Report that so many images are decoded."""
    if (tell := _LISTENER.get()) is not None:
        tell(done, total)
