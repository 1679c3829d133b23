"""What a run that goes on cannot build on: set aside, never removed, and made again.

Files are checked before anything of them is used: a trial whose record or model is damaged, or
that failed only for want of disk space, runs again; a damaged final measurement is made again.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from slimtune.errors import RunError
from slimtune.results.run import Run
from slimtune.results.store.files import set_aside
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.integrity import check_stored, fault_in, recorded_in
from slimtune.results.store.joint import check_joint
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed
from slimtune.search.trial.spec import TrialSpec

Warn = Callable[[str], None]

NO_ROOM = (
    "disk full (",  # `DiskFullError`
    "No space left on device",
    "Disk quota exceeded",
    "disk is full",  # SQLite, and Ray's OutOfDiskError
)
"""What errors say when the disk is full."""


@dataclass(frozen=True)
class ResumedTrials:
    """The trials of a run that goes on.

    Attributes:
        records: trial -> its record, or None if it runs again.
        specs: of those that run again, as far as they could be read.
    """

    records: dict[int, TrialRecord | None] = field(default_factory=dict)
    specs: dict[int, TrialSpec] = field(default_factory=dict)


def sound_trials(folder: RunFolder, warn: Warn) -> ResumedTrials:
    """Return the trials that the run may go on with, and set the others aside.

    Of the candidates for the front also the model's files are held against their hashes, for
    these are measured again; a file that somebody has deleted is no fault of the others.

    Args:
        folder: whose lock this process holds.
        warn: told of each that is set aside.

    Raises:
        RunError: the disk refuses.
    """
    trials = ResumedTrials()

    def put_aside(number: int, why: str, text: str) -> None:
        if (spec := _spec_of(folder, number)) is not None:
            trials.specs[number] = spec
        aside = set_aside(folder.trial_path(number), why)
        warn(f"{text}; kept as trials/{aside.name}, trial {number} runs again")

    for number in folder.numbers():
        try:
            record: TrialRecord | None = folder.record(number)
        except RunError as error:
            record = None
            put_aside(number, "damaged", str(error))
        if record is not None and for_want_of_disk(record):
            text = f"trial {number} failed because the disk was full ({record.error})"
            record = None
            put_aside(number, "failed", text)
        trials.records[number] = record
    while bad := _damaged_candidates(folder, trials):
        for number, fault in bad.items():
            put_aside(number, "damaged", fault)
            trials.records[number] = None
    return trials


def for_want_of_disk(record: TrialRecord) -> bool:
    """Return whether a trial failed because a disk was full, here or where it ran."""
    return record.status == "failed" and any(sign in (record.error or "") for sign in NO_ROOM)


def check_other_files(folder: RunFolder, warn: Warn) -> None:
    """Look at what a run has beside its trials, before it goes on.

    Args:
        folder: whose lock this process holds.
        warn: told of what is set aside, and once if the run has no hashes to be held against.

    Raises:
        RunError: the baseline's file is not the one that was measured, or the disk refuses.
    """
    if not recorded_in(folder.path / "baseline"):  # of an older version
        warn("this run has no recorded SHA-256 of its baseline: its files are taken as they are")
    check_stored(folder.path, "baseline", ("model.onnx",))
    _set_damaged_front_aside(folder, warn)


def _set_damaged_front_aside(folder: RunFolder, warn: Warn) -> None:
    """Move a final measurement that cannot be read out of the way; it will be made again."""
    front = folder.path / "front"
    if os.path.lexists(front) and (front.is_symlink() or not front.is_dir()):
        warn(f"front is no folder; kept as {set_aside(front, 'damaged').name}, made again")
    for name in ("front.csv", "members.json", "front.json"):
        path = front / name
        try:
            if os.path.lexists(path) and not (path.is_file() and not path.is_symlink()):
                raise RunError(f"{path}: is not a regular file")
            if name == "front.json":
                check_joint(folder.path)
        except RunError as error:
            aside = set_aside(path, "damaged")
            warn(f"{error}; kept as front/{aside.name}, the front is measured again")


def _damaged_candidates(folder: RunFolder, trials: ResumedTrials) -> dict[int, str]:
    records = [record for record in trials.records.values() if record is not None]
    candidates = Run(folder).at(records).candidates()
    faults = {r.number: fault_in(folder.trial_path(r.number), r.artifacts) for r in candidates}
    return {number: fault for number, fault in faults.items() if fault}


def _spec_of(folder: RunFolder, number: int) -> TrialSpec | None:
    """Return what the trial's folder says it was asked; None if that cannot be read."""
    try:
        spec = TrialSpec.from_dict(read_sealed(folder.trial_path(number) / "spec.json"))
    except RunError:
        return None
    return spec if spec.number == number else None
