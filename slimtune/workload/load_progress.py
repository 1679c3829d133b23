"""How far the reading of data is, for whoever watches: `listening` hears of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Tell = Callable[[int, int], None]
"""Told of images: how many are decoded, of how many."""

PAUSE = 0.5
"""Seconds, where a line is drawn anew; see `LINES` for where each is one more."""

LINES = 5.0

_LISTENER: ContextVar[Tell | None] = ContextVar("listener", default=None)


@contextmanager
def listening(
    tell: Tell, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Tell how far the decoding of images is, while the context lasts, in this thread.

    What takes less than a pause is not told of.

    Args:
        tell: called every now and then.
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
    """Say that so many images are decoded."""
    if (tell := _LISTENER.get()) is not None:
        tell(done, total)
