"""One writer per run folder: a lock that the kernel releases when its process dies.

It is ``flock`` on the file ``lock``. The file stays, with the process and host of its last holder,
but the file alone locks nothing, so a killed writer leaves nothing to clean up. On NFS, Linux
locks on the server, so writers on two hosts exclude each other too. A disk without locks is
refused; SQLite could not keep the study there either. Readers need no lock.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from slimtune.errors import RunError, UserError
from slimtune.results.store.files import discard, is_temporary, set_aside

NAME = "lock"
LOOK_SECONDS = 0.5
"""How long a writer waits for the lock: a reader that checks it holds it for microseconds."""
_EARLY = ("baseline", "teacher")  # written before run.json


class RunLock:
    """The right to write a run folder, held until the end of the block.

    Args:
        run: the run folder, which must exist.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / NAME
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock, without waiting for another writer.

        Raises:
            RunError: another process holds it, or the folder cannot be locked.
        """
        deadline = time.monotonic() + LOOK_SECONDS
        try:
            while not self._taken(deadline):
                os.close(self._descriptor)
        except OSError as error:
            if self._descriptor >= 0:
                holder = _read(self._descriptor)
                os.close(self._descriptor)
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise in_use_error(self._path.parent, holder) from None
            raise RunError(
                f"{self._path}: cannot be locked: {error.strerror}; put the run folder on a disk "
                "that you may write to and that has file locks"
            ) from None
        text = f"process {os.getpid()} on {socket.gethostname()}\n"
        with suppress(OSError):  # on a full disk the lock holds all the same
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock; the file stays."""
        os.close(self._descriptor)

    def remove_claim(self) -> None:
        """Remove the run folder if it holds only this lock: no search has begun in it."""
        with suppress(OSError):
            if os.listdir(self._path.parent) == [NAME]:
                self._path.unlink()
                self._path.parent.rmdir()

    def _taken(self, deadline: float) -> bool:
        """Lock the file; return whether the path still names the locked file.

        It tries for a while, because `holder_of` takes the lock for a moment too.
        """
        self._descriptor = -1
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(self._path, flags, 0o644)
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:  # its last holder removed the folder in between
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))


def holder_of(run: Path) -> str | None:
    """Return ``"process 42 on host"`` if a live process holds the lock of ``run``, else None."""
    try:
        descriptor = os.open(run / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def in_use_error(run: Path, holder: str) -> RunError:
    """Return the error for a run folder that another process writes to."""
    return RunError(f"{run} is in use by {holder}: wait until it ends, or stop it")


def _read(descriptor: int) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return os.pread(descriptor, 200, 0).decode().strip() or "another process"
    return "another process"


@contextmanager
def claim(path: Path, again: bool = False) -> Iterator[None]:
    """Make the folder of a new run and hold its lock; remove the folder if no search begins.

    A search that was killed before it had its baseline leaves a folder without a run.json.

    Args:
        path: the run folder; its parents are made too.
        again: start over in such a folder; a baseline in it is set aside, not removed.

    Raises:
        UserError: the folder exists.
        RunError: the folder holds something else, is in use, or the disk refuses.
    """
    if again and path.is_dir() and not _never_begun(path):
        raise RunError(f"{str(path)!r} is not a slimtune run (no run.json)")
    try:
        path.mkdir(parents=True, exist_ok=again)
    except FileExistsError:
        raise UserError(f"{path} already exists: choose another --out, or move it away") from None
    except OSError as error:
        raise RunError(f"{path} cannot be made: {error.strerror}") from None
    with RunLock(path) as lock:
        try:
            for name in sorted(os.listdir(path)):
                if name in _EARLY:
                    set_aside(path / name, "left")
                elif is_temporary(path / name):  # of a writer that was killed
                    discard(path / name)
            yield
        finally:
            lock.remove_claim()


def _never_begun(path: Path) -> bool:
    """Return whether a search was killed here before it began, or nothing is here at all."""
    names = {path.name for path in path.iterdir() if not is_temporary(path)}
    stems = {name.partition(".left-")[0] for name in names}
    return stems <= {NAME, *_EARLY} and (NAME in names or not names)
