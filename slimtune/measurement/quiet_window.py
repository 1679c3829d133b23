"""Quiet windows: training on the measuring host pauses between batches while a file is timed.

If there are as many trials as cores, a measurement never has a core to itself. A few bytes of
shared memory hold the time until which trainers pause. Nobody waits for ever: a window ends after
a second even if the process that opened it dies, and windows take at most a fifth of the time.
"""

import hashlib
import mmap
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 1.0
"""Seconds that trainers pause at most for one window."""
TRAINING_SHARE = 4.0
"""After a window, no other one opens for this many times its length."""
_LOOK = 0.002
_LOOK_AGAIN = 1.0
_BYTES = 8
_PER_SECOND = 1_000_000_000


class QuietWindow:
    """One flag in shared memory, under a name that all processes of a search know.

    Args:
        name: any text that identifies the search's Ray cluster and job.
        create: whether to create the flag, as the measuring process does. Others use it as soon as
            it exists.
    """

    def __init__(self, name: str, create: bool = False) -> None:
        self._path = _folder() / f"slimtune-{hashlib.sha256(name.encode()).hexdigest()[:24]}"
        self._until: memoryview | None = None
        self._last_look = -_LOOK_AGAIN
        self._closed_until = 0.0
        if create:
            self._until = _mapped(self._path, os.O_CREAT)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let trainers pause within the block, unless they have just paused."""
        begun = time.monotonic()
        if self._until is None or begun < self._closed_until:
            yield
            return
        # A deadline and not a flag: if this process dies in the block, trainers still continue.
        self._until[0] = int((begun + LONGEST) * _PER_SECOND)
        try:
            yield
        finally:
            self._until[0] = 0
            end = time.monotonic()
            self._closed_until = end + TRAINING_SHARE * min(end - begun, LONGEST)

    def pause(self) -> None:
        """Wait until no window is open; called between two batches."""
        begun = time.monotonic()
        if self._until is None and begun - self._last_look >= _LOOK_AGAIN:
            self._last_look = begun
            self._until = _mapped(self._path, 0)
        if self._until is None:
            return
        # Short naps, not an event: the flag is plain memory that any process can look at.
        while (now := time.monotonic()) < min(self._until[0] / _PER_SECOND, begun + LONGEST):
            time.sleep(min(_LOOK, begun + LONGEST - now))

    def remove(self) -> None:
        """Delete the flag; a process that has it open keeps its copy."""
        self._path.unlink(missing_ok=True)


def _folder() -> Path:
    """Return the folder of shared memory, or the one of temporary files."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())


def _mapped(path: Path, create: int) -> memoryview | None:
    """Return the memory that holds the deadline in nanoseconds, or None if there is none.

    The name can be guessed, so a file of another user is not used.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | create
    try:
        handle = os.open(path, flags, 0o600)
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
            return None
        if create:
            os.ftruncate(handle, _BYTES)
        elif found.st_size < _BYTES:  # not made yet
            return None
        return memoryview(mmap.mmap(handle, _BYTES)).cast("q")
    except (OSError, ValueError):  # no room left, or a file system that maps nothing
        return None
    finally:
        os.close(handle)
