"""Sets damaged files of a resumed run aside: they are renamed, never removed, and made again.

Every file is checked before it is used. A trial runs again if its record or model is damaged, or
if it failed only because the disk was full. A damaged joint measurement is repeated.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from slimtune.errors import RunError
from slimtune.results.run import Run
from slimtune.results.store.files import set_aside
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.integrity import check_stored_network, find_fault, recorded_hashes
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
"""Texts of errors for want of disk space."""


@dataclass(frozen=True)
class ResumedTrials:
    """The trials of a resumed run.

    Attributes:
        records: number of a trial -> its record; None if the trial runs again.
        specs: of the trials that run again, if they could be read.
    """

    records: dict[int, TrialRecord | None] = field(default_factory=dict)
    specs: dict[int, TrialSpec] = field(default_factory=dict)


def sound_trials(folder: RunFolder, warn: Warn) -> ResumedTrials:
    """Return the trials of a resumed run, and set damaged ones aside.

    The model files of the candidates for the front are compared with their hashes, because they
    are measured again. A file that somebody has deleted is no damage.

    Args:
        folder: whose lock this process holds.
        warn: called for each trial that is set aside.

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
    """Return whether a trial failed because a disk was full, on this host or on its own."""
    return record.status == "failed" and any(sign in (record.error or "") for sign in NO_ROOM)


def check_other_files(folder: RunFolder, warn: Warn) -> None:
    """Check the files that a run has beside its trials: the baseline and the front.

    Args:
        folder: whose lock this process holds.
        warn: called for each file that is set aside, and once if an old run has no hashes.

    Raises:
        RunError: the baseline's file is not the one that was measured, or the disk refuses.
    """
    if not recorded_hashes(folder.path / "baseline"):  # of an older version
        warn("this run has no recorded SHA-256 of its baseline: its files are taken as they are")
    check_stored_network(folder.path, "baseline", ("model.onnx",))
    _set_damaged_front_aside(folder, warn)


def _set_damaged_front_aside(folder: RunFolder, warn: Warn) -> None:
    """Set the files of a damaged joint measurement aside; the measurement will be repeated."""
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
    faults = {r.number: find_fault(folder.trial_path(r.number), r.artifacts) for r in candidates}
    return {number: fault for number, fault in faults.items() if fault}


def _spec_of(folder: RunFolder, number: int) -> TrialSpec | None:
    """Return the spec in a trial's folder; None if it cannot be read."""
    try:
        spec = TrialSpec.from_dict(read_sealed(folder.trial_path(number) / "spec.json"))
    except RunError:
        return None
    return spec if spec.number == number else None
