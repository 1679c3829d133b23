"""Checkpoints of stages that several trials of a run share: a cache on disk.

::

    runs/a/stages/KEY/           stage.json, model.safetensors, sums.json
    runs/a/stages/KEY.tmp-4242/  being written by process 4242

A key is a hash of everything that the files depend on, so the content of a key never changes. If
a checkpoint is missing or damaged, the trial does the work again. The whole folder may be removed
at any time.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slimtune.errors import RunError
from slimtune.results.store.files import (
    discard,
    plain_name,
    publish_folder,
    read_bytes,
    read_json,
    sha256_bytes,
    to_json,
)

SUMS = "sums.json"
_KEY = re.compile(r"[0-9a-f]{64}")


def with_sums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files, and one more that holds the SHA-256 of each."""
    sums = {name: sha256_bytes(data) for name, data in files.items()}
    return {**files, SUMS: to_json(sums)}


def read_with_sums(folder: Path) -> dict[str, bytes]:
    """Read the files that `with_sums` returned from a folder, without the one with the hashes.

    Raises:
        RunError: a file is missing, or differs from what was written.
    """
    sums = read_json(folder / SUMS)
    files = {name: read_bytes(folder / plain_name(name)) for name in sums}
    wrong = [name for name, data in files.items() if sha256_bytes(data) != sums[name]]
    if wrong or not files:
        raise RunError(
            f"{folder / [*wrong, SUMS][0]}: damaged, its content is not what was written "
            "(SHA-256 mismatch)"
        )
    return files


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints of one run. Any process may read; only the run's one writer may add.

    Attributes:
        path: the folder, absolute because other processes read it; need not exist.
        room: bytes that all checkpoints may take; those unused for longest are removed first.
    """

    path: Path
    room: int

    def fetch(self, key: str) -> dict[str, bytes] | None:
        """Return the files of a checkpoint, or None if it is missing or damaged."""
        if not _KEY.fullmatch(key):
            return None
        folder = self.path / key
        try:
            return read_with_sums(folder)
        except RunError:
            return None

    def add(self, checkpoints: Mapping[str, Mapping[str, bytes]]) -> None:
        """Write checkpoints, and remove those unused for longest if they exceed the room.

        A key without files marks its checkpoint as used again. An existing checkpoint is kept
        unless it is damaged. A checkpoint larger than the room is not written.

        Args:
            checkpoints: key -> file name -> content.

        Raises:
            RunError: the disk refuses; nothing is left behind.
        """
        for key, files in checkpoints.items():
            if not files:
                with suppress(OSError):
                    os.utime(self.path / key)
            elif sum(map(len, files.values())) <= self.room:
                self._write(key, files)
        if checkpoints:
            self._make_room()

    def keys(self) -> list[str]:
        """Return the keys of all checkpoints, the last used at the end."""
        names = os.listdir(self.path) if self.path.is_dir() else []
        found = [(self._used(name), name) for name in names if _KEY.fullmatch(name)]
        return [name for _, name in sorted(found)]

    def size(self) -> int:
        """Return the bytes that all checkpoints take together."""
        return sum(map(self._size, self.keys()))

    def _write(self, key: str, files: Mapping[str, bytes]) -> None:
        folder = self.path / key
        content = with_sums(files)
        if not publish_folder(folder, content) and self.fetch(key) is None:
            discard(folder)
            publish_folder(folder, content)

    def _make_room(self) -> None:
        sizes = {key: self._size(key) for key in self.keys()}
        total = sum(sizes.values())
        for key, size in sizes.items():
            if total <= self.room:
                return
            discard(self.path / key)
            total -= size

    def _size(self, key: str) -> int:
        with suppress(OSError):
            return sum(entry.stat().st_size for entry in os.scandir(self.path / key))
        return 0

    def _used(self, key: str) -> int:
        with suppress(OSError):
            return (self.path / key).stat().st_mtime_ns
        return 0
