"""Makes the study and the trial folders of a resumed run agree.

A search writes the folder of a trial before it tells the study. So after a kill there may be
finished folders of trials that are still running in the study; these are told now. A damaged
study or trial is set aside, never removed, and made again: the study from the records, a trial
from its spec.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.trial import TrialState

from slimtune.errors import RunError, UserError
from slimtune.results.pareto.limits import certain_violations
from slimtune.results.store.files import set_aside
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed
from slimtune.search.proposing import study as studies
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.resuming.aside import ResumedTrials, Warn, sound_trials
from slimtune.search.trial.spec import TrialSpec, outcome_of

StudyAndProposer = tuple[optuna.Study, Proposer]
_SQLITE_EXTRAS = ("-journal", "-wal", "-shm")
_HOST_ERRORS = ("BUSY", "LOCKED", "PERM", "READONLY", "IOERR", "FULL", "CANTOPEN", "AUTH", "NOMEM")
"""SQLite's errors that come from the host and not from the content of the file."""


def set_damaged_study_aside(path: Path, warn: Warn) -> None:
    """Set a study aside if SQLite finds it damaged.

    Args:
        path: the database, which may be missing.
        warn: called with its new place.

    Raises:
        RunError: it cannot be read for another reason, such as its permissions.
    """
    if not path.exists() or (fault := _damage(path)) is None:
        return
    _set_aside(path, f"{path.name} is damaged ({fault})", warn)


def open_proposer(
    folder: RunFolder, opened: Callable[[], StudyAndProposer], warn: Warn
) -> tuple[StudyAndProposer, int]:
    """Open the study of a run; if it contradicts the trials, rebuild it from them.

    Args:
        folder: whose lock this process holds.
        opened: opens the study, or makes one if it is missing; returns it with its proposer.
        warn: called for each file that is set aside.

    Returns:
        What ``opened`` returned, reconciled with the folder, and how many trials run again.

    Raises:
        RunError: the disk refuses, or the study is locked.
    """
    set_damaged_study_aside(folder.study_path, warn)
    trials = sound_trials(folder, warn)
    try:
        study, proposer = opened()
        fault = proposer.fault(trials.records)
        trials.specs.update(_specs(study, trials) if fault else {})
    except Exception as error:  # a damaged cell can raise anything in Optuna
        if isinstance(error, UserError) or _is_host_error(error):
            raise
        fault = " ".join(str(error).split())
    if fault:
        text = f"{folder.study_path.name} does not fit the trials ({fault})"
        _set_aside(folder.study_path, text, warn)
        study, proposer = opened()
    return (study, proposer), reconcile(folder, (study, proposer), warn, trials)


def reconcile(
    folder: RunFolder,
    opened: StudyAndProposer,
    warn: Warn,
    trials: ResumedTrials | None = None,
) -> int:
    """Bring the study up to date, and queue the trials that must run again.

    These run from their recorded specs, on the device of the present settings.

    Args:
        folder: whose lock this process holds.
        opened: the study of the run, to which missing trials are added, and its proposer.
        warn: called for each trial that is set aside.
        trials: from `sound_trials`, if it was called before.

    Returns:
        How many trials run again.

    Raises:
        RunError: the disk refuses.
    """
    study, proposer = opened
    trials = trials or sound_trials(folder, warn)
    records = trials.records
    trial_count = len(study.get_trials(deepcopy=False))
    # Optuna numbers trials without gaps, so every number up to the last folder gets a trial.
    for number in range(trial_count, max(records, default=-1) + 1):
        record = records.get(number)
        if record is not None:
            proposer.restore(
                _spec(folder, record), outcome_of(record), _violations(folder, record)
            )
        elif number in trials.specs:
            proposer.restore(trials.specs[number], None)
        else:
            proposer.fill()
    reruns = []
    for trial in study.get_trials(deepcopy=False):
        record = records.get(trial.number)
        if record is None:
            reruns.append(TrialSpec.from_dict(trial.user_attrs["spec"]))
        elif trial.state == TrialState.RUNNING:
            proposer.tell(outcome_of(record), _violations(folder, record))
    proposer.run_again(reruns)
    return len(reruns)


def _damage(path: Path) -> str | None:
    """Return the damage of a database in one line; None if there is none."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=studies.TIMEOUT)
        try:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()
        finally:
            connection.close()
        if path.read_bytes()[18:19] not in (
            b"",
            b"\1",
            b"\2",
        ):  # SQLite would open it for reading only
            return "unknown version of the file format"
    except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        if _is_host_error(error):
            raise RunError(f"{path}: the study cannot be used: {error}") from None
        return str(error)
    return None if verdict == ("ok",) else str(verdict[0]).splitlines()[-1]


def _set_aside(path: Path, text: str, warn: Warn) -> None:
    """Set a study aside, with the files that SQLite keeps beside it."""
    aside = set_aside(path, "damaged")
    for extra in _SQLITE_EXTRAS:
        if (beside := path.with_name(path.name + extra)).exists():
            set_aside(beside, "damaged")
    warn(f"{text}; kept as {aside.name}, rebuilt from the trials")


def _spec(folder: RunFolder, record: TrialRecord) -> TrialSpec:
    """Return the spec of a trial, from its folder or else from its record."""
    try:
        return TrialSpec.from_dict(read_sealed(folder.trial_path(record.number) / "spec.json"))
    except RunError:
        return TrialSpec(record.number, record.recipe, record.conditions)


def _specs(study: optuna.Study, trials: ResumedTrials) -> dict[int, TrialSpec]:
    """Return, from the study, the specs of trials that run again and have none in their folder."""
    try:
        history = study.get_trials(deepcopy=False)
    except Exception:  # damaged: new recipes are proposed for them
        return {}
    missing = {n for n, record in trials.records.items() if record is None} - trials.specs.keys()
    attrs = {t.number: t.user_attrs.get("spec") for t in history if t.number in missing}
    return {n: TrialSpec.from_dict(spec) for n, spec in attrs.items() if isinstance(spec, dict)}


def _is_host_error(error: BaseException | None) -> bool:
    """Return whether an error comes from the host, such as a lock or a full disk.

    The study itself may be undamaged then, and must not be set aside.
    """
    while error is not None:
        cause = getattr(error, "orig", None) or error
        name = str(getattr(cause, "sqlite_errorname", ""))
        if any(name.startswith(f"SQLITE_{one}") for one in _HOST_ERRORS):
            return True
        if isinstance(error, OSError):
            return True
        error = error.__cause__
    return False


def _violations(folder: RunFolder, record: TrialRecord) -> dict[str, float]:
    limits = folder.manifest.get("limits", {})
    return certain_violations(limits, record.measured)
