"""The names that the parts of a dataset may have, and notes on files that are skipped."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from slimtune.errors import DataError

PART_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Part -> the words that name it, in any case."""

_MOST_COUNTED = 100_000
_MOST_NAMED = 5

Value = TypeVar("Value")


def part_of(word: str) -> str | None:
    """Return ``"train"``, ``"val"`` or ``"test"`` if ``word`` names one, in any case."""
    return next((part for part, words in PART_WORDS.items() if word.lower() in words), None)


def parts_in(text: str) -> set[str]:
    """Return the parts that are named by whole words of ``text``, such as a file's name."""
    return {part for word in re.split("[^A-Za-z]+", text) if (part := part_of(word))}


def one_name_a_part(names: Iterable[str], where: str) -> dict[str, str]:
    """Return part -> the name that means it, of those names that mean one.

    Raises:
        DataError: two names mean the same part.
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        part = part_of(name)
        if part in found:
            raise DataError(
                f"{where}: '{found[part]}' and '{name}' both name the {part} part; "
                "merge them or rename one"
            )
        if part is not None:
            found[part] = name
    return found


def assign_roles(
    found: Mapping[str, Value], called: Mapping[str, str]
) -> tuple[Value | None, Value | None, list[str]]:
    """Return the test part, the validation part, and notes: ``val`` alone is the test part.

    A checkpoint has usually seen all of train, so images from there would test it too kindly.

    Args:
        found: part -> what it holds.
        called: part -> what the source calls it.
    """
    if "test" in found:
        return found["test"], found.get("val"), []
    if "val" in found:
        return (
            found["val"],
            None,
            [f"'{called['val']}' is the test part, because there is no other"],
        )
    note = "there is no test part: a fixed 20 % of the training images are the test images"
    return None, None, [note]


@dataclass
class SkippedFiles:
    """Counts the files and folders that a source skips.

    Attributes:
        root: the folder that names are told relative to.
        files: suffix, in lower case -> how many files.
        folders: folder -> how many files are in it, at any depth.
    """

    root: Path
    files: Counter[str] = field(default_factory=Counter)
    folders: dict[str, int] = field(default_factory=dict)

    def add(self, path: Path) -> None:
        """Count a file, or a folder with all that is in it."""
        if path.is_dir():
            self.folders[str(path.relative_to(self.root))] = _files_below(path)
        else:
            self.files[path.suffix.lower() or "no suffix"] += 1

    def notes(self) -> list[str]:
        """Return one note a kind; none where nothing was left out."""
        notes = []
        if self.folders:
            named = [f"{name}/ ({_files(n)})" for name, n in list(self.folders.items())]
            notes.append(f"left out {some('folder', named)}")
        if self.files:
            named = [f"{suffix} {count}" for suffix, count in self.files.most_common()]
            total = sum(self.files.values())
            notes.append(f"left out {_files(total)} of other kinds: {_listed(named)}")
        return notes


def some(what: str, named: list[str]) -> str:
    """Return such as ``"shard a"`` or ``"7 shards: a, b, c, d, e and 2 more"``."""
    counted = f"{len(named)} {what}s: " if len(named) > 1 else f"{what} "
    return counted + _listed(named)


def _listed(named: list[str]) -> str:
    more = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _files(count: int) -> str:
    if count > _MOST_COUNTED:
        return f"more than {_MOST_COUNTED} files"
    return f"{count} file" + ("" if count == 1 else "s")


def _files_below(folder: Path) -> int:
    count = 0
    for _, _, files in os.walk(folder):
        count += len(files)
        if count > _MOST_COUNTED:
            break
    return count
