"""Write files as a whole or not at all, and read them with care."""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from slimtune.errors import DiskFullError, RunError, UserError, shortened

JSON_CAP = 64 * 2**20
"""Largest JSON file that is read, in bytes: a damaged or planted file must not fill memory."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_TEMPORARY = re.compile(r"\.tmp-([0-9]+)$")


def plain_name(name: str) -> str:
    """Return ``name`` if it names a file in its folder and nothing outside it.

    Raises:
        RunError: it holds a separator, starts with a dot, or is longer than 100 characters.
    """
    if not _PLAIN_NAME.fullmatch(name):
        raise RunError(
            f"{shortened(name)} is not a plain file name: path leaves the run folder, "
            "or holds characters other than letters, digits, '.', '_' and '-'"
        )
    return name


def is_temporary(path: Path) -> bool:
    """Return whether ``path`` has the name of a file or folder that is being written."""
    return _TEMPORARY.search(path.name) is not None


def is_abandoned(path: Path) -> bool:
    """Return whether ``path`` was being written by a process that no longer lives.

    A name with this process's own number counts too: a dead process may have had the number.
    """
    found = _TEMPORARY.search(path.name)
    if found is None:
        return False
    pid = int(found[1])
    if pid != os.getpid():
        try:
            os.kill(pid, 0)
            return False
        except PermissionError:
            return False
        except (ProcessLookupError, OverflowError):
            pass
    return True


def set_aside(path: Path, why: str) -> Path:
    """Rename a file or folder to ``NAME.WHY-1``, or the next number, and return the new path.

    Raises:
        RunError: the disk refuses.
    """
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.{why}-{number}")):
        number += 1
    try:
        path.rename(aside)
    except OSError as error:
        raise_unwritable(aside, error)
    return aside


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, reading it piece by piece.

    Raises:
        RunError: the file is missing, cannot be read, or is not a regular file.
    """
    with _open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, cap: int | None = None) -> bytes:
    """Return the content of a regular file; a symbolic link is refused, not followed.

    Args:
        path: the file.
        cap: largest size accepted, in bytes; None for any.

    Raises:
        RunError: the file is missing, cannot be read, is too large or is not a regular file.
    """
    with _open_regular(path) as file:
        if cap is not None and os.fstat(file.fileno()).st_size > cap:
            raise RunError(f"{path}: larger than the {cap} bytes that are read from such a file")
        return file.read()


def read_json(path: Path, cap: int = JSON_CAP) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Args:
        path: the file, UTF-8.
        cap: largest size accepted, in bytes.

    Raises:
        RunError: the file is missing, too large, not UTF-8, not JSON, holds NaN or infinity, or
            holds something else than an object; the message names the file and the line.
    """
    return parse_json(read_bytes(path, cap), path)


def parse_json(data: bytes, path: Path) -> dict[str, Any]:
    """Return the object in the bytes of a JSON file.

    Args:
        data: content of the file, UTF-8.
        path: where it came from, for the message.

    Raises:
        RunError: as `read_json`.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise RunError(f"{path}:{error.lineno}: damaged, not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged, not readable JSON: {error}") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: must hold a JSON object, but holds {shortened(value)}")
    return value


def to_json(value: object) -> bytes:
    """Return indented UTF-8 JSON with a final newline.

    Raises:
        ValueError: the value holds NaN or infinity, which JSON has no words for.
        TypeError: the value holds something that is not plain data.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part.

    Args:
        path: the file; replaced if it exists.
        content: text is written as UTF-8.

    Raises:
        UserError: the parent folder does not exist.
        RunError: the file cannot be written, for example on a full disk; nothing is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        _discard_abandoned(path)
        _write_synced(temporary, data)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except FileNotFoundError:
        raise UserError(f"{path}: the parent folder does not exist; create it first") from None
    except OSError as error:
        raise_unwritable(path, error)
    finally:
        discard(temporary)


def publish_folder(target: Path, files: Mapping[str, bytes]) -> bool:
    """Make a folder with all its files appear in one rename.

    Everything is written to a sibling called ``<name>.tmp-<pid>`` and flushed first, so a crash
    leaves that sibling behind and never a partial ``target``.

    Args:
        target: the folder; an empty folder of that name is replaced.
        files: plain file name -> content.

    Returns:
        False if ``target`` exists and holds something; it is left as it is.

    Raises:
        RunError: a name is not plain, or the disk refuses; nothing is left behind.
    """
    return publish_tree(target, ((plain_name(name), data) for name, data in files.items()))


def publish_tree(target: Path, files: Iterable[tuple[str, bytes]]) -> bool:
    """Make a folder with files and folders appear in one rename, as `publish_folder` does.

    Args:
        target: the folder; an empty folder of that name is replaced.
        files: pairs of name and content. A name may be ``folder/name`` of any depth, each part
            plain. The pairs are taken one by one, so they need not all be in memory.

    Returns:
        False if ``target`` exists and holds something; it is left as it is.

    Raises:
        RunError: a name is not plain, or the disk refuses; nothing is left behind.
    """
    temporary = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    _discard_abandoned(target)
    try:
        temporary.mkdir(parents=True)
        for name, data in files:
            path = temporary.joinpath(*map(plain_name, name.split("/")))
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_synced(path, data)
        for folder in (*(p for p in temporary.rglob("*") if p.is_dir()), temporary):
            _sync_folder(folder)
        return _rename_folder(temporary, target)
    except OSError as error:
        raise_unwritable(target, error)
    finally:
        discard(temporary)


def discard(path: Path) -> None:
    """Remove a file, a link or a folder with what it holds, as far as the disk allows."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _discard_abandoned(target: Path) -> None:
    """Remove what killed processes left of the same file or folder, or it would pile up."""
    for left in target.parent.glob(f"{glob.escape(target.name)}.tmp-*"):
        if is_abandoned(left):
            discard(left)


def _rename_folder(source: Path, target: Path) -> bool:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    _sync_folder(target.parent)
    return True


def raise_unwritable(path: Path, error: OSError) -> NoReturn:
    """Raise the error of a run for a system error on writing ``path``.

    Raises:
        DiskFullError: the disk is full, or the file exceeds a size limit.
        RunError: anything else.
    """
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = f"disk full ({error.strerror})" if full else error.strerror
    raise (DiskFullError if full else RunError)(
        f"{path} cannot be written: {reason}; nothing finished is lost; free some space or fix "
        "the permissions, and run again"
    ) from None


@contextmanager
def _open_regular(path: Path) -> Iterator[BufferedReader]:
    try:
        # Without O_NONBLOCK a planted named pipe would hang the reader for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        linked = error.errno == errno.ELOOP
        reason = "is a symbolic link, which may leave the run folder" if linked else error.strerror
        raise RunError(f"{path}: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunError(f"{path}: is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from None


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    # A rename is only durable once the folder that lists the name is on disk too.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"holds {word}, which JSON does not have")
