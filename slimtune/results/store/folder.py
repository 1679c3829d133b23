"""The run folder on disk: it has one writer, and a trial is in it as a whole or not at all.

::

    runs/a/
      run.json                 what the run was started with (manifest.py)
      study.db                 Optuna's study; nothing here touches it
      lock                     which process writes (lock.py)
      baseline/                result.json and the baseline's files
      teacher/                 the same, if a network other than the baseline teaches
      trials/0017/             spec.json, result.json, the trial's files; error.txt if it failed
      trials/0018.tmp-4242/    process 4242 is writing it, or was killed while it did
      trials/0016.damaged-1/   set aside because its record could not be read
      stages/KEY/              a checkpoint that trials share (checkpoints.py); may be removed
      finals/0017-e30-r0/      a trial run again at full length (finals.py)
      front/                   front.json, front.csv: the joint measurement (joint.py)
      report.html              the report (views/report/page.py)
      status.json              the search's state, for `slimtune watch` (status.py)
"""

import numbers
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slimtune.errors import RunError, UserError, shortened
from slimtune.results.store.checkpoints import CheckpointStore
from slimtune.results.store.files import (
    atomic_write,
    discard,
    is_abandoned,
    is_temporary,
    plain_name,
    publish_folder,
    read_bytes,
    read_json,
    sha256_bytes,
    sha256_file,
)
from slimtune.results.store.lock import NAME as LOCK
from slimtune.results.store.lock import holder_of, in_use_error
from slimtune.results.store.manifest import SCHEMA, check_manifest, complete_manifest
from slimtune.results.store.record import TrialRecord, clean_record
from slimtune.results.store.sealed import check_seal, read_sealed, seal
from slimtune.results.store.shapes import check_baseline

_SWEPT = ("*", "trials/*", "finals/*", "stages/*", "front/*")
_OURS = ("spec.json", "result.json", "error.txt")

Network = tuple[Mapping[str, Any], Mapping[str, bytes]]
"""The record of a baseline or a teacher, with its objectives, and its files."""


@dataclass(frozen=True)
class RunFolder:
    """A run folder that exists; `create` makes one and `open` opens one.

    Attributes:
        path: the folder.
        manifest: the content of run.json.
    """

    path: Path
    manifest: dict[str, Any] = field(repr=False)

    @classmethod
    def create(cls, path: str | Path, manifest: Mapping[str, Any]) -> "RunFolder":
        """Make a new run folder that holds run.json and no trial.

        Args:
            path: must not exist; parent folders are made.
            manifest: the keys of run.json; ``schema`` and ``created`` are filled in.

        Raises:
            UserError: the path exists, or the manifest is not complete. Nothing is written.
            RunError: the disk refuses.
        """
        path = Path(path)
        refuse_existing(path)
        complete = complete_manifest(manifest)
        if not publish_folder(path, {"run.json": seal(complete)}):
            raise _taken(path)
        return cls(path, complete)

    @classmethod
    def begin(
        cls, path: Path, manifest: Mapping[str, Any], networks: Mapping[str, "Network"]
    ) -> "RunFolder":
        """Fill a folder that `lock.claim` made: the networks first, run.json last.

        run.json comes last, so a folder that has one has everything a search needs to continue.

        Args:
            path: the folder.
            manifest: as in `create`.
            networks: ``"baseline"``, and ``"teacher"`` if there is one.

        Raises:
            UserError: the manifest is not complete.
            RunError: the disk refuses.
        """
        folder = cls(path, complete_manifest(manifest))
        for name, network in networks.items():
            folder._write_network(name, *network)
        atomic_write(path / "run.json", seal(folder.manifest))
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open a run folder.

        Raises:
            RunError: no such folder, no run.json in it, or one that is damaged or of another
                schema.
        """
        path = Path(path)
        if not (path / "run.json").is_file():
            raise RunError(f"{str(path)!r} is not a slimtune run (no run.json)")
        file = path / "run.json"
        manifest = read_json(file)
        if manifest.get("schema") != SCHEMA:
            raise RunError(
                f"{path}/run.json: has schema {shortened(manifest.get('schema'))}, this slimtune "
                f"reads schema {SCHEMA}; open it with the version that wrote it"
            )
        manifest = check_seal(manifest, file)
        try:
            check_manifest(manifest)
        except UserError as error:
            raise RunError(f"{path}/run.json: {error}") from None
        return cls(path, manifest)

    @property
    def study_path(self) -> Path:
        """Where Optuna keeps the study."""
        return self.path / "study.db"

    def checkpoints(self, room: int = 0) -> CheckpointStore:
        """Return the store of the checkpoints that trials share.

        Args:
            room: bytes that it may take; a reader needs none.
        """
        return CheckpointStore(self.path.absolute() / "stages", room)

    def trial_path(self, number: int) -> Path:
        """Return the folder of a trial, whether it exists or not.

        Raises:
            UserError: ``number`` is not an integer of at least 0.
            RunError: the folder is a link to somewhere else.
        """
        # numpy's integers count: they are what a column of a front holds.
        whole = isinstance(number, numbers.Integral) and not isinstance(number, bool)
        if not whole or number < 0:
            raise UserError(f"a trial is a whole number from 0, but got {shortened(number)}")
        path = self.path / "trials" / f"{number:04d}"
        if path.resolve() != self.path.resolve() / "trials" / path.name:
            raise RunError(f"{path}: path leaves the run folder; replace the link by the folder")
        return path

    def write_trial(
        self, record: TrialRecord, spec: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> bool:
        """Write one finished trial in a single rename.

        The record is passed through `clean_record` and gets the SHA-256 of every file.

        Args:
            record: of a complete or a failed trial.
            spec: what the trial was asked to do; written as spec.json.
            files: artifact name -> content, such as model.onnx, history.csv or log.txt.

        Returns:
            False if the trial is in the folder already; that one is kept.

        Raises:
            RunError: the disk refuses, a file's name is not plain, or something that is no
                finished trial is in the trial's place.
        """
        return self.write_record(self.trial_path(record.number), record, spec, files)

    def write_record(
        self, path: Path, record: TrialRecord, spec: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> bool:
        """Write a record and its files as `write_trial` does, but into the folder ``path``."""
        if (path / "result.json").is_file():
            return False
        record = clean_record(record, self.manifest["objectives"])
        record = replace(record, artifacts=_hashes(files))
        content = {"spec.json": seal(spec), **files}
        if record.status == "failed":
            parts = [part for part in (record.error, record.traceback) if part]
            content["error.txt"] = ("\n\n".join(parts) + "\n").encode()
        content["result.json"] = seal(record.to_dict())
        if not publish_folder(path, content) and not (path / "result.json").is_file():
            raise RunError(f"{path}: has no result.json, so it is not a trial; move it away")
        return True

    def numbers(self) -> list[int]:
        """Return the numbers of the trials in the folder, ascending."""
        trials = self.path / "trials"
        names = os.listdir(trials) if trials.is_dir() else []
        found = (int(name) for name in names if re.fullmatch(r"[0-9]{4,9}", name))
        return sorted(number for number in found if f"{number:04d}" in names)

    def records(self) -> list[TrialRecord]:
        """Return the records of all trials, by number.

        Raises:
            RunError: a result.json is missing or damaged; the message names it.
        """
        return [self._read_record(number) for number in self.numbers()]

    def record(self, number: int) -> TrialRecord:
        """Return the record of one trial.

        Raises:
            UserError: there is no such trial; the message says which there are.
            RunError: its result.json is damaged.
        """
        if not self.trial_path(number).is_dir():
            numbers = self.numbers()
            existing = f"({numbers[0]}-{numbers[-1]})" if numbers else "(no trial has finished)"
            raise UserError(f"trial {number} does not exist {existing}")
        return self._read_record(number)

    def _read_record(self, number: int) -> TrialRecord:
        path = self.trial_path(number) / "result.json"
        record = TrialRecord.from_dict(read_sealed(path), str(path))
        if record.number != number:
            raise RunError(f"{path}: is the record of trial {record.number}, not of {number}")
        return record

    def read_artifact(self, record: TrialRecord, name: str, place: Path | None = None) -> bytes:
        """Return the content of one of a trial's files, after checking its SHA-256.

        Args:
            record: of the trial.
            name: of the file.
            place: the folder that holds it; the trial's own if not given.

        Raises:
            UserError: the trial has no file of that name.
            RunError: the file is missing, a link, or its SHA-256 is not the recorded one.
        """
        if name not in record.artifacts:
            names = ", ".join(record.artifacts) or "none"
            raise UserError(
                f"trial {record.number} has no file {shortened(name)} (it has {names})"
            )
        path = (place or self.trial_path(record.number)) / plain_name(name)
        data = read_bytes(path)
        self._compare(record, path, sha256_bytes(data))
        return data

    def verify(self, number: int) -> None:
        """Recompute the SHA-256 of every file of a trial.

        Raises:
            UserError: there is no such trial.
            RunError: a file is missing, a link, or differs from what was recorded.
        """
        record = self.record(number)
        for name in record.artifacts:
            path = self.trial_path(number) / plain_name(name)
            self._compare(record, path, sha256_file(path))

    def _compare(self, record: TrialRecord, path: Path, found: str) -> None:
        recorded = record.artifacts[path.name]
        if found != recorded:
            own = path.parent.name == f"{record.number:04d}"
            which = f"trial {record.number}" if own else f"final {path.parent.name}"
            raise RunError(
                f"{path}: SHA-256 mismatch for {which} "
                f"({found[:12]}…, recorded {recorded[:12]}…); restore the file from a "
                f"copy (slimtune search --resume {self.path} repeats a damaged trial of the front)"
            )

    def write_baseline(self, record: Mapping[str, Any], files: Mapping[str, bytes]) -> bool:
        """Write the baseline's measurement and files in a single rename.

        Args:
            record: plain data with at least ``objectives``, name -> value; the SHA-256 of the
                files is added as ``artifacts``.
            files: file name -> content.

        Returns:
            False if there is a baseline already; that one is kept.

        Raises:
            RunError: the record has no objectives, or the disk refuses.
        """
        return self._write_network("baseline", record, files)

    def write_teacher(self, record: Mapping[str, Any], files: Mapping[str, bytes]) -> bool:
        """Write the teacher as `write_baseline` does the baseline.

        Raises:
            RunError: the record has no objectives, or the disk refuses.
        """
        return self._write_network("teacher", record, files)

    def _write_network(
        self, name: str, record: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> bool:
        path = self.path / name
        check_baseline(record, str(path))
        result = seal({**record, "artifacts": _hashes(files)})
        return publish_folder(path, {**files, "result.json": result})

    def baseline(self) -> dict[str, Any]:
        """Return the baseline's record.

        Raises:
            RunError: it has not been measured yet, or its file is damaged.
        """
        path = self.path / "baseline" / "result.json"
        record = read_sealed(path)
        check_baseline(record, str(path))
        return record

    def with_config(self, config: Mapping[str, Any], **facts: Any) -> "RunFolder":
        """Return the folder with another ``config`` and other facts, and write run.json if new.

        Raises:
            RunError: the disk refuses.
        """
        changed = {**self.manifest, "config": dict(config), **facts}
        if changed == self.manifest:
            return self
        atomic_write(self.path / "run.json", seal(changed))
        return replace(self, manifest=changed)

    def sweep(self) -> list[Path]:
        """Remove what killed processes left half written, and return what was removed.

        A file that another process may be writing, such as a report, stays while that process
        lives. Only the run's one writer may call this, and not while it writes.
        """
        found = [path for where in _SWEPT for path in self.path.glob(where)]
        leftovers = sorted(p for p in found if is_temporary(p) and (_ours(p) or is_abandoned(p)))
        for path in leftovers:
            discard(path)
        return leftovers


def _ours(path: Path) -> bool:
    """Return whether only the run's writer writes files of that name."""
    return not path.name.startswith(("report.html.", "summary.png."))


def refuse_existing(path: Path) -> None:
    """Check that a new run can be made at ``path``, before any work is done.

    Raises:
        UserError: something is there already, or the folder above cannot be written to.
        RunError: a search is writing there now.
    """
    if (holder := holder_of(path)) is not None:
        raise in_use_error(path, holder)
    if os.path.lexists(path):
        raise _taken(path)
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(
            f"{path} cannot be created: {parent} is not a folder that you may write to"
        )


def _taken(path: Path) -> UserError:
    ours = (path / "run.json").is_file() or (path / LOCK).is_file()
    resume = "continue it with --resume, " if ours else ""
    return UserError(f"{path} already exists: {resume}choose another --out, or move it away")


def _hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    for name in files:
        if name in _OURS:
            raise RunError(
                f"{name}: is a file that the run folder writes itself; choose another name"
            )
    return {plain_name(name): sha256_bytes(data) for name, data in files.items()}


def find_run(path: Path) -> Path | None:
    """Return the run folder that ``path`` lies in, if any."""
    for parent in [path, *path.resolve().parents]:
        if (parent / "run.json").is_file():
            return parent
    return None
