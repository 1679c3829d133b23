"""Which Parquet files of a folder belong to which part of the data, and whether all are there."""

import re
from collections import defaultdict
from pathlib import Path

from slimtune.errors import DataError
from slimtune.workload.sources.parts import (
    PART_WORDS,
    SkippedFiles,
    one_name_a_part,
    part_of,
    parts_in,
    some,
)

_NUMBER = re.compile(r"-(?P<index>\d+)-of-(?P<count>\d+)")
_MOST_SHARDS = 10_000  # beyond it the "number" is something else


def find_shards(argument: str) -> tuple[dict[str, list[Path]], list[str]]:
    """Return part -> its shards in order, and notes on the files that belong to none.

    A file belongs to the part that a word of its name means, or, where it is in a folder of the
    folder, the part that this folder's name means (``train/0000.parquet``, as the hub converts).

    Args:
        argument: the folder.

    Raises:
        DataError: no folder, no shards, no training shards, a file named for two parts, two words
            for one part, or a shard that is missing or there twice.
    """
    folder = _existing(argument)
    entries = sorted(path for path in folder.iterdir() if path.name[0] != ".")
    names = one_name_a_part((path.name for path in entries if path.is_dir()), str(folder))
    shards = {path: path.stem for path in entries if path.suffix == ".parquet"}
    for name in names.values():
        shards |= {path: name for path in sorted((folder / name).glob("*.parquet"))}
    if not shards:
        deeper = next(iter(sorted(folder.rglob("*.parquet"))), None)
        hint = f"did you mean {deeper.parent}?" if deeper else "check the path"
        raise DataError(f"folder {folder} has no .parquet files; {hint}")
    skipped = SkippedFiles(folder)
    for path in entries:
        if path not in shards and path.name not in names.values():
            skipped.add(path)
    parts: dict[str, list[Path]] = defaultdict(list)
    strange = []
    for path, text in shards.items():
        if (part := _part(path, text)) is None:
            strange.append(path.name)
        else:
            parts[part].append(path)
    for part, paths in parts.items():
        _check_one_word(part, paths, shards)
        _check_complete(paths)
    _check_usable(parts, argument)
    note = f"left out {some('shard', strange)}, named for no part"
    return dict(parts), [*([note] if strange else []), *skipped.notes()]


def _existing(argument: str) -> Path:
    if not argument:
        raise DataError("'parquet' needs a directory after its name, such as parquet:data/cifar10")
    folder = Path(argument).expanduser()
    if not folder.is_dir():
        raise DataError(f"folder {folder} does not exist or is not a folder; check the path")
    return folder


def _part(path: Path, text: str) -> str | None:
    named = parts_in(text)
    if len(named) > 1:
        raise DataError(
            f"{path}: its name means more than one part ({', '.join(sorted(named))}); rename it, "
            "such as train-00000-of-00001.parquet"
        )
    return named.pop() if named else None


def _check_one_word(part: str, paths: list[Path], texts: dict[Path, str]) -> None:
    words: dict[str, Path] = {}
    for path in paths:
        for word in re.split("[^a-z]+", texts[path].lower()):
            if part_of(word) == part:
                words.setdefault(word, path)
    if len(words) > 1:
        first, second, *_ = words.values()
        raise DataError(
            f"{first} and {second.name} both name the {part} part, by different words; merge them "
            "or rename one"
        )


def _check_complete(shards: list[Path]) -> None:
    """Check the numbers in the shards' names; a download that stopped half-way shows in them."""
    numbered: dict[tuple[Path, str], dict[tuple[int, int], Path]] = defaultdict(dict)
    for path in shards:
        match = _NUMBER.search(path.name)
        if match is None or int(match["count"]) > _MOST_SHARDS:
            continue
        # What stands behind the number is a hash of each shard's own.
        group = numbered[path.parent, path.name[: match.start()]]
        number = int(match["index"]), int(match["count"])
        if number in group:
            raise DataError(
                f"{path}: {group[number].name} has the same number, so images would count twice; "
                "remove the older one"
            )
        group[number] = path
    for (folder, prefix), group in numbered.items():
        _check_numbers(folder, prefix, group)


def _check_numbers(folder: Path, prefix: str, group: dict[tuple[int, int], Path]) -> None:
    counts = sorted({count for _, count in group})
    if len(counts) > 1:
        raise DataError(
            f"{folder}: shards {prefix}-… are numbered of {counts[0]} and of {counts[1]}; remove "
            "those of the older download"
        )
    digits = _NUMBER.search(next(iter(group.values())).name)
    assert digits is not None
    for index in range(counts[0]):
        if (index, counts[0]) not in group:
            number = f"{index:0{len(digits['index'])}d}-of-{digits['count']}"
            hashed = "" if digits.end() == len(digits.string) - len(".parquet") else "-…"
            raise DataError(
                f"{folder}: shard {prefix}-{number}{hashed}.parquet is missing; download it too"
            )


def _check_usable(parts: dict[str, list[Path]], argument: str) -> None:
    if "train" not in parts:
        wanted, example = " or ".join(PART_WORDS["train"]), "train"
    elif not parts.keys() & {"test", "val"}:
        wanted, example = "test or validation (or testing, val, valid, dev)", "test"
    else:
        return
    raise DataError(
        f"folder {argument}: no .parquet file is named {wanted}; rename the shards, such as "
        f"{example}-00000-of-00001.parquet"
    )
