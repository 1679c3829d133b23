"""Before a run goes on: the study and the trial folders are made to say the same.

Files are written before the study is told, so a killed search leaves at most folders whose
trials the study still thinks running. What is damaged is set aside, never removed, and made
again: the study from the records, a trial from its spec.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.trial import TrialState

from slimtune.errors import RunError
from slimtune.results.files import read_json, set_aside
from slimtune.results.folder import RunFolder
from slimtune.results.limits import decided_violations
from slimtune.results.record import TrialRecord
from slimtune.search.proposer import Proposer
from slimtune.search.spec import Outcome, TrialSpec

Warn = Callable[[str], None]
_SQLITE_EXTRAS = ("-journal", "-wal", "-shm")


def set_damaged_study_aside(path: Path, warn: Warn) -> None:
    """Move a study that SQLite finds damaged out of the way.

    Args:
        path: the database, which may be missing.
        warn: told where it is now.

    Raises:
        RunError: it cannot be read for another reason, such as its permissions.
    """
    if not path.exists() or (fault := _damage(path)) is None:
        return
    aside = set_aside(path, "damaged")
    for extra in _SQLITE_EXTRAS:
        if (beside := path.with_name(path.name + extra)).exists():
            set_aside(beside, "damaged")
    warn(f"{path.name} is damaged ({fault}); kept as {aside.name}, made again from the trials")


def reconcile(folder: RunFolder, study: optuna.Study, proposer: Proposer, warn: Warn) -> int:
    """Bring the study up to date, and hand to the proposer what has to run again.

    That runs as it was begun, but on the device of the settings that the run goes on with.

    Args:
        folder: whose lock this process holds.
        study: of the run; trials it lacks are added.
        proposer: for this study.
        warn: told of what was set aside.

    Returns:
        How many trials run again.

    Raises:
        RunError: the disk refuses, or a trial's spec is damaged as well.
    """
    records = {number: _record(folder, number, warn) for number in folder.numbers()}
    known = len(study.get_trials(deepcopy=False))
    for number in range(known, max(records, default=-1) + 1):
        record = records[number] if number in records else None
        if record is None:
            proposer.fill()
        else:
            proposer.restore(_spec(folder, number), _outcome(record), _violations(folder, record))
    again = []
    for trial in study.get_trials(deepcopy=False):
        record = records.get(trial.number)
        if record is None:
            again.append(TrialSpec.from_dict(trial.user_attrs["spec"]))
        elif trial.state == TrialState.RUNNING:
            proposer.tell(_outcome(record), _violations(folder, record))
    proposer.run_again(again)
    return len(again)


def _damage(path: Path) -> str | None:
    """Return what is wrong with a database; None if nothing is."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=60)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:  # locked, no permission: not the file's fault
        raise RunError(f"{path}: the study cannot be used: {error}") from None
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == ("ok",) else str(found[0]).splitlines()[-1]


def _record(folder: RunFolder, number: int, warn: Warn) -> TrialRecord | None:
    """Return a trial's record; a folder whose record cannot be read is set aside."""
    try:
        return folder.record(number)
    except RunError as error:
        aside = set_aside(folder.trial_path(number), "damaged")
        warn(f"{error}; kept as trials/{aside.name}, trial {number} runs again")
        return None


def _spec(folder: RunFolder, number: int) -> TrialSpec:
    return TrialSpec.from_dict(read_json(folder.trial_path(number) / "spec.json"))


def _outcome(record: TrialRecord) -> Outcome:
    reason = record.error or ""
    return Outcome(record.number, record.status, record.objectives, reason=reason)


def _violations(folder: RunFolder, record: TrialRecord) -> dict[str, float]:
    limits = folder.manifest.get("limits", {})
    return decided_violations(limits, {**record.metrics, **record.objectives})
