"""Training can be made to pause between two batches, without anything coming out otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def never() -> None:
    """Do not pause: the default."""


_pause: ContextVar[Callable[[], None]] = ContextVar("pause", default=never)


@contextmanager
def pausing(pause: Callable[[], None]) -> Iterator[None]:
    """Within the block, and in this thread, call ``pause`` between batches.

    Args:
        pause: returns when work may go on.
    """
    token = _pause.set(pause)
    try:
        yield
    finally:
        _pause.reset(token)


def between_batches() -> None:
    """Pause, if whoever runs this trial asks for it."""
    _pause.get()()
