"""Runs a single trial in a worker process, and starts one from a stored snapshot."""

from pathlib import Path
from typing import Any

from slimtune.compression.pipeline import StudentState
from slimtune.compression.recipe import Recipe
from slimtune.errors import TrialError, UserError
from slimtune.results.store.files import parse_json
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.setup import Note
from slimtune.search.trial.attempt import Work
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.snapshot_files import snapshot_from_files
from slimtune.search.trial.snapshot_key import surroundings
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import failed_outcome

BEFORE = {"train": "prune", "quantize": "train"}
"""Stage that a trial can start with -> the stage after which a snapshot is needed for it."""
_WORDS = {"code": "code", "versions": "package versions", "cpu": "processor", "gpu": "GPU"}


def run_in_worker(work: Work, shared: Any, spec: TrialSpec) -> Outcome:
    """Run one trial as a search does: in a worker process of a Ray on this host.

    Args:
        work: the body of the trial.
        shared: handed to ``work``.
        spec: of the trial.

    Returns:
        Its outcome, which always has a record.

    Raises:
        SlimtuneError: Ray cannot be started, or breaks down.
    """
    conditions = spec.conditions
    executor = RayExecutor(
        concurrency=1,
        cpus_per_trial=conditions.threads,
        gpus_per_trial=0 if conditions.device == "cpu" else 1,
    )
    driver = SpecList([spec])
    executor.run(work, shared, driver)
    [outcome] = driver.outcomes
    if outcome.payload is not None:
        return outcome
    trace = outcome.files.get("error.txt", b"").decode()
    return failed_outcome(spec, TrialError(outcome.reason), trace=trace or None)


def stored_beginning(
    folder: RunFolder, record: TrialRecord, spec: TrialSpec, *, stage: str, note: Note
) -> StudentState:
    """Return the student with which a trial starts ``stage``, from the run's stage store.

    Args:
        folder: the run.
        record: of the trial, with the keys of its snapshots.
        spec: of the trial to run; it may differ from the recorded one from ``stage`` on.
        stage: a key of `BEFORE`.
        note: called if the snapshot was made by other code, or on another processor.

    Raises:
        UserError: the store does not hold the snapshot, or the recipe begins differently.
    """
    store = folder.checkpoints()
    snapshots = {done: files for done, key in record.stages.items() if (files := store.fetch(key))}
    done = BEFORE[stage]
    if done not in snapshots:
        others = [name for name, needed in BEFORE.items() if needed in snapshots]
        alternatives = f"--from-stage {', '.join(others)}" if others else "its whole recipe"
        raise UserError(
            f"trial {record.number} cannot start at {stage}: {folder.path}/stages does not hold "
            f"it after {done} (untrained or long unused stages are not kept); "
            f"possible is {alternatives}"
        )
    path = store.path / record.stages[done]
    _tell_differences(snapshots[done], path, spec.conditions.device, note)
    return snapshot_from_files(snapshots[done], Recipe.from_dict(spec.recipe), path)


def _tell_differences(files: dict[str, bytes], folder: Path, device: str, note: Note) -> None:
    origin = parse_json(files["stage.json"], folder / "stage.json").get("origin", {})
    other = [
        _WORDS[name] for name, value in surroundings(device).items() if origin.get(name) != value
    ]
    if other:
        note(
            f"the stored stage was made with other {' and '.join(other)}; "
            "a rerun of the whole trial may differ here"
        )
