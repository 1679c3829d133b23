"""Write files that a user names, such as with ``-o``, also through links, devices and pipes.

A run's own files are always replaced as a whole, even links: see `atomic_write`.
"""

import os
import stat
from pathlib import Path

from slimtune.errors import UserError
from slimtune.results.store.files import atomic_write, raise_unwritable

_REFUSED = {
    stat.S_IFDIR: "a folder; name a file in it",
    stat.S_IFBLK: "a block device, and what is on it would be destroyed; name a file",
    stat.S_IFSOCK: "a socket; name a file or a pipe",
}
_KERNELS = ("/dev/", "/proc/")  # links there, such as /dev/stdout, stand for open files


def write_output(path: Path, content: bytes | str) -> None:
    """Write a file that a user named.

    A regular file is replaced in one step, as is the one that a symbolic link points to; a
    character device, a pipe, or an open file such as /dev/stdout takes the content as it is.

    Args:
        path: the file; need not exist.
        content: text is written as UTF-8.

    Raises:
        UserError: it is a folder, a block device or a socket, or its folder does not exist.
        RunError: the file cannot be written, for example on a full disk.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:  # also of a link whose target is still to be made
        mode = stat.S_IFREG
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; name another") from None
    if (what := _REFUSED.get(stat.S_IFMT(mode))) is not None:
        raise UserError(f"{path} is {what}")
    lexical = os.path.abspath(path)
    if stat.S_ISREG(mode) and not lexical.startswith(_KERNELS):
        atomic_write(Path(os.path.realpath(path)) if path.is_symlink() else path, content)
    else:
        _write_through(path, content.encode() if isinstance(content, str) else content)


def _write_through(path: Path, data: bytes) -> None:
    try:
        # O_APPEND: /dev/stdout may be a file that others write to as well.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
    except BrokenPipeError:  # the reader has all that it wanted
        return
    except OSError as error:
        raise_unwritable(path, error)
