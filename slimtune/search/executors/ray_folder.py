"""Folders of Ray and of Ray Tune: private, held by their process, and swept if that was killed.

That of a Ray of ours has a short path, and is gone when that Ray has ended. Ray's own default is
``/tmp/ray``, which all users of a machine share and may look into. Its sockets lie below the
folder, and the kernel takes no more than 107 bytes of path for one, so that a TMPDIR as clusters
have it is too long.
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
"""Bytes of the path of a Unix socket, without the final zero."""
BELOW = len("/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""Bytes of path that Ray adds; the last number is a process, of seven digits at most."""
PREFIX = "st-ray-"
TUNE_PREFIX = "st-tune-"
_OWN = len(f"/{PREFIX}xxxxxxxx")
_LOCK = "lock"
_YOUNG = 60.0
"""Seconds in which a folder may still have no lock."""


class HeldFolder:
    """A new private folder, held until `remove`; those of processes that were killed are swept.

    Args:
        prefix: of its name; all that bear it are looked at.
        parent: where to make it.

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
        """Remove the folder, as far as Ray's processes let it; the next one sweeps the rest."""
        discard(self.path)
        self._lock.close()


class RayFolder(HeldFolder):
    """The folder of one Ray.

    Attributes:
        inside: what Ray is given, which opens it to everybody.

    Raises:
        SlimtuneError: there is no folder to make it in.
    """

    def __init__(self) -> None:
        super().__init__(PREFIX, _parent())
        self.inside = self.path / "r"


@contextmanager
def tune_folder() -> Iterator[Path]:
    """Have a folder for what Ray Tune writes down and nobody reads.

    Raises:
        SlimtuneError: there is no folder to make it in.
    """
    folder = HeldFolder(TUNE_PREFIX, Path(tempfile.gettempdir()))
    try:
        yield folder.path
    finally:
        folder.remove()


def check_folder() -> None:
    """Check that there is a place for a Ray's sockets, before anything costly.

    Raises:
        SlimtuneError: all that there is cannot be written to, or has too long a path.
    """
    _parent()


def _parent() -> Path:
    """Return the first folder that Ray's may be made in: TMPDIR, if its path is short enough."""
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
    """Remove folders whose process is gone: it held their lock."""
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
