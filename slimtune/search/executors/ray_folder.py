"""Private folders for Ray and Ray Tune: locked by their process, removed if it was killed.

Ray's own default is ``/tmp/ray``, which all users of a machine share and can read. Ray's sockets
lie below its folder, and the kernel accepts at most 107 bytes for the path of a socket. The
TMPDIR of many clusters is longer than that allows, so the folder may have to lie elsewhere.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from slimtune.errors import SlimtuneError
from slimtune.results.store.files import discard

SOCKET_PATH = 107
"""Most bytes of the path of a Unix socket, without the final zero."""
BELOW = len("/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""Bytes that Ray adds to the path; the last number is a process id of at most seven digits."""
PREFIX = "st-ray-"
TUNE_PREFIX = "st-tune-"
_OWN = len(f"/{PREFIX}xxxxxxxx")
_LOCK = "lock"
_YOUNG = 60.0
"""Seconds after its creation in which a folder may have no lock yet."""


class HeldFolder:
    """A new private folder, locked until `remove`; folders of killed processes are removed.

    Args:
        prefix: of its name; older folders with this prefix are checked.
        parent: folder in which it is made.

    Attributes:
        path: the folder, of mode 0700.

    Raises:
        SlimtuneError: it cannot be made there.
    """

    def __init__(self, prefix: str, parent: Path) -> None:
        _sweep(parent, prefix)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))  # with mode 0700
            self._lock: IO[str] = (self.path / _LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SlimtuneError(
                f"cannot start Ray on this host: {parent}: {error.strerror}"
            ) from None

    def remove(self) -> None:
        """Remove the folder. What Ray's processes still hold, the next `HeldFolder` removes."""
        discard(self.path)
        self._lock.close()


class RayFolder(HeldFolder):
    """The folder of one Ray.

    Attributes:
        inside: the folder that Ray is given; Ray makes it readable for everybody.

    Raises:
        SlimtuneError: there is no folder in which it can be made.
    """

    def __init__(self) -> None:
        super().__init__(PREFIX, _parent())
        self.inside = self.path / "r"


@contextmanager
def tune_folder() -> Iterator[Path]:
    """Provide a folder for the files that Ray Tune writes and nobody reads.

    Raises:
        SlimtuneError: there is no folder in which it can be made.
    """
    folder = HeldFolder(TUNE_PREFIX, Path(tempfile.gettempdir()))
    try:
        yield folder.path
    finally:
        folder.remove()


def check_folder() -> None:
    """Check that there is a place for a Ray's sockets, before anything costly.

    Raises:
        SlimtuneError: no folder is both writable and short enough.
    """
    _parent()


def _parent() -> Path:
    """Return the first folder that is writable and short enough; TMPDIR is tried first."""
    own_choice = os.environ.get("RAY_TMPDIR")
    try:
        first = own_choice or tempfile.gettempdir()
    except FileNotFoundError:  # Python found none that it can write to
        first = os.environ.get("TMPDIR", "/tmp")
    others = () if own_choice else (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp")
    most = SOCKET_PATH - _OWN - BELOW
    for name in (first, *others):
        fits = name and len(os.fsencode(name)) <= most
        if fits and os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    raise SlimtuneError(
        f"cannot start Ray on this host: {first} is no folder for its sockets, which must be "
        f"writable and have a path of at most {most} bytes; set "
        f"{'RAY_' * bool(own_choice)}TMPDIR to such a folder; --no-ray runs without Ray"
    )


def _sweep(parent: Path, prefix: str) -> None:
    """Remove the folders whose lock is free, because the process that held it is gone."""
    for path in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid != os.getuid() or path.is_symlink():
                continue
            if not (path / _LOCK).exists():
                if time.time() - status.st_mtime > _YOUNG:
                    discard(path)
                continue
            with (path / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                discard(path)
