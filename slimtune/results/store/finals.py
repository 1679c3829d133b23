"""Finals: members of the front run again at full length, one folder per seed.

::

    finals/0017-e30-r0/      trial 17 with fine-tunes of 30 epochs, first seed; as a trial's folder

Finals of another length lie beside them and are never overwritten. Of a member's finals the
median by validation accuracy is the file that ships (front.json says which); a trial that has
one is delivered as that file.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slimtune.errors import RunError, UserError, shortened
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, read_joint
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed

FOLDER = "finals"
_NAME = re.compile(r"([0-9]{4,9})-e([0-9]{1,4})-r([0-9]{1,3})")


@dataclass(frozen=True, order=True)
class FinalKey:
    """Identifies a final.

    Attributes:
        trial: number of the member that is run again.
        epochs: its length, the epochs of the search's longest fine-tune.
        repeat: number of its seed, from 0.
    """

    trial: int
    epochs: int
    repeat: int

    @property
    def name(self) -> str:
        """The folder's name, such as ``0017-e30-r0``."""
        return f"{self.trial:04d}-e{self.epochs}-r{self.repeat}"

    @classmethod
    def parse(cls, name: str) -> "FinalKey":
        """Return the key that a folder's name stands for.

        Raises:
            UserError: it is no such name.
        """
        match = _NAME.fullmatch(name)
        key = cls(*map(int, match.groups())) if match else None
        if key is None or key.name != name:
            raise UserError(
                f"a final has a name such as 0017-e30-r0 (trial 17, 30 epochs, first seed), but "
                f"got {shortened(name)}"
            )
        return key


def folder_of(folder: RunFolder, which: int | FinalKey) -> Path:
    """Return the path of a trial's or a final's folder, whether it exists or not.

    Raises:
        RunError: the folder is a link to somewhere else.
    """
    if not isinstance(which, FinalKey):
        return folder.trial_path(which)
    path = folder.path / FOLDER / which.name
    if path.resolve() != folder.path.resolve() / FOLDER / which.name:
        raise RunError(f"{path}: path leaves the run folder; replace the link by the folder")
    return path


def record_of(folder: RunFolder, which: int | FinalKey) -> TrialRecord:
    """Return the record of a trial or a final; a final's record has its trial's number.

    Raises:
        UserError: there is no such trial or final.
        RunError: its result.json is damaged.
    """
    if not isinstance(which, FinalKey):
        return folder.record(which)
    if not folder_of(folder, which).is_dir():
        names = [key.name for key in final_keys(folder) if key.trial == which.trial]
        raise UserError(
            f"final {which.name} does not exist (trial {which.trial} has "
            f"{', '.join(names) or 'none'})"
        )
    path = folder_of(folder, which) / "result.json"
    record = TrialRecord.from_dict(read_sealed(path), str(path))
    if record.number != which.trial:
        raise RunError(f"{path}: is the record of trial {record.number}, not of {which.trial}")
    return record


def write_final_run(
    folder: RunFolder,
    key: FinalKey,
    record: TrialRecord,
    *,
    spec: Mapping[str, Any],
    files: Mapping[str, bytes],
) -> bool:
    """Write one finished final in a single rename, as `RunFolder.write_trial` writes a trial.

    Returns:
        False if the folder has it already; that one is kept.

    Raises:
        RunError: as `RunFolder.write_trial`.
    """
    record = replace(record, number=key.trial)
    spec = {**spec, "number": key.trial}
    return folder.write_record(folder_of(folder, key), record, spec, files)


def final_keys(folder: RunFolder) -> list[FinalKey]:
    """Return the finals in the folder, of every length, in order."""
    finals = folder.path / FOLDER
    names = os.listdir(finals) if finals.is_dir() else []
    found = [FinalKey(*map(int, m.groups())) for n in names if (m := _NAME.fullmatch(n))]
    return sorted(key for key in found if key.name in names)


def what_ships(folder: RunFolder, number: int) -> tuple[TrialRecord, Path]:
    """Return the record and the folder of the file that is delivered for a trial.

    That is the final that the last joint measurement names for it, else the trial itself.

    Raises:
        UserError: there is no such trial.
        RunError: the record is damaged.
    """
    row = next((row for row in read_joint(folder.path) if row.trial == number), None)
    which = FinalKey.parse(row.final) if row is not None and row.final is not None else number
    return record_of(folder, which), folder_of(folder, which)


def front_sources(
    folder: RunFolder, members: Callable[[Sequence[JointRow]], list[TrialRecord]]
) -> tuple[list[TrialRecord], list[JointRow]]:
    """Return the records that a front ranks: the finals that ship, if there are any, else trials.

    Args:
        folder: the run.
        members: returns the trials that may be on the front, given what was measured together.

    Returns:
        The records, and the rows of the joint measurement that belong to them.

    Raises:
        RunError: a record is damaged.
    """
    rows = read_joint(folder.path)
    finals = [FinalKey.parse(row.final) for row in rows if row.final is not None]
    records = [record_of(folder, key) for key in finals] if finals else members(rows)
    return records, rows
