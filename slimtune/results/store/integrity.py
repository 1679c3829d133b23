"""Compare the files of a run with the SHA-256 that was recorded when they were written."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slimtune.errors import RunError
from slimtune.results.store.files import plain_name, sha256_file
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed

WEIGHTS = ("model.safetensors", "model.json")
"""The files that a network is loaded from."""
MODEL = ("model.onnx", *WEIGHTS)
"""The files that a trial is delivered as."""


def recorded_hashes(place: Path) -> dict[str, str]:
    """Return the hashes in a folder's result.json, file name -> SHA-256.

    Empty if it has none, as in an exported folder or one from an older slimtune.

    Raises:
        RunError: result.json is damaged.
    """
    file = place / "result.json"
    found = read_sealed(file).get("artifacts") if os.path.lexists(file) else None
    pairs = found.items() if isinstance(found, Mapping) else ()
    return {name: digest for name, digest in pairs if isinstance(digest, str)}


def find_fault(
    place: Path, recorded: Mapping[str, Any], names: Sequence[str] = MODEL, *, gone: bool = False
) -> str:
    """Return which file differs from the record, in words, or an empty string.

    Args:
        place: the folder.
        recorded: file name -> SHA-256 in hexadecimal; files that it leaves out are accepted.
        names: the files to look at.
        gone: whether a missing file is a fault too.
    """
    for name in names:
        path = place / plain_name(name)
        if name not in recorded or not (gone or os.path.lexists(path)):
            continue
        try:
            found = sha256_file(path)
        except RunError as error:
            return str(error)
        if found != recorded[name]:
            return (
                f"{path}: SHA-256 mismatch ({found[:12]}…, recorded {str(recorded[name])[:12]}…)"
            )
    return ""


def check_stored_network(run: Path, name: str, names: Sequence[str] = WEIGHTS) -> None:
    """Check the stored baseline or teacher of a run before anything is built on it.

    Args:
        run: the run folder.
        name: ``"baseline"`` or ``"teacher"``.
        names: the files to look at.

    Raises:
        RunError: a file is missing or is not the one that was written.
    """
    if fault := find_fault(run / name, recorded_hashes(run / name), names, gone=True):
        raise RunError(
            f"{fault}: the {name} of this run is damaged; restore the file from a copy, or start "
            "a new search with another --out"
        )


def model_fault(record: TrialRecord, place: Path) -> str:
    """Return why a trial's model.onnx cannot be measured, or an empty string."""
    if not (place / "model.onnx").is_file():
        return "its model.onnx is gone"
    return find_fault(place, record.artifacts, ("model.onnx",))
