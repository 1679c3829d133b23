"""Runs one trial of a run again, alone: to debug it, or to prove that it can be repeated."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from slimtune.compression.recipe import Recipe
from slimtune.compression.training.precision import is_native
from slimtune.errors import UserError
from slimtune.measurement.host import describe_host
from slimtune.results.store.files import sha256_bytes
from slimtune.results.store.finals import FinalKey, folder_of, record_of
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed
from slimtune.search.executors.own_work import with_own_code
from slimtune.search.review.single import run_in_worker, stored_beginning
from slimtune.search.settings.layered import merged, set_path
from slimtune.search.settings.recorded import run_config
from slimtune.search.settings.references import code_in
from slimtune.search.setup import Note, reopen_workload, say_nothing
from slimtune.search.trial.process.devices import on_available_device
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import Handover, run_trial
from slimtune.spaces.space import STAGES
from slimtune.workload.own_code import load_code

_NOT_COMPARED = ("log.txt",)
"""Files that are not compared: they depend on how a trial ran, such as with a stage store."""


@dataclass(frozen=True)
class RerunOptions:
    """How a trial is run again.

    Attributes:
        reraise: raise the exception of a failing trial, instead of recording it; not with ``ray``.
        exact: do not run a trial on the CPU instead of its own device.
        ray: run it in a worker process of a Ray on this machine, as the search did.
        from_stage: a stage of `BEFORE`: take the student before it from the run's stage store.
            If not given, the store is not used.
    """

    reraise: bool = False
    exact: bool = False
    ray: bool = False
    from_stage: str | None = None


@dataclass(frozen=True)
class Comparison:
    """One artifact of a trial: as recorded, and as repeated.

    Attributes:
        name: the file's name.
        recorded: SHA-256 in the trial's record.
        repeated: SHA-256 of the file that the rerun made.
    """

    name: str
    recorded: str
    repeated: str

    @property
    def identical(self) -> bool:
        """Whether the two files are the same, bit for bit."""
        return self.recorded == self.repeated


def rerun_trial(
    folder: RunFolder,
    number: int | FinalKey,
    changes: Mapping[str, Any] | None = None,
    options: RerunOptions = RerunOptions(),
    *,
    note: Note = say_nothing,
) -> Outcome:
    """Run the recorded spec of trial ``number`` again; the run folder is not written to.

    Args:
        folder: the run.
        number: the trial's number, or the final's key. A failed trial can be repeated too, and
            a stopped one runs to its end.
        changes: dotted recipe settings to change first, such as ``{"prune.amount": 0.4}``.
        options: how it is run.
        note: called with each difference from the search.

    Raises:
        UserError: there is no such trial or device, the changed recipe is invalid, the store
            does not hold the stage, or the user's own code cannot be loaded.
        RunError: the run's data has changed.
        SlimtuneError: Ray cannot be started.
    """
    record = record_of(folder, number)
    spec = TrialSpec.from_dict(read_sealed(folder_of(folder, number) / "spec.json"))
    config = run_config(folder)
    here = on_available_device(spec, options.exact)
    if here != spec:
        there = spec.conditions.device
        note(
            f"trial {number} was trained on {there}, which this machine lacks: it runs on the CPU"
        )
    if text := other_numbers(record):
        note(text)
    spec = changed(here, changes or {})
    start = None
    if stage := options.from_stage:
        start = stored_beginning(folder, record, spec, stage=stage, note=note)
    workload = reopen_workload(folder, config)
    work = partial(
        run_trial,
        objectives=tuple(config.objectives),
        reraise=options.reraise,
        handover=Handover(start),
    )
    if record.status == "failed":
        note(f"in the search, trial {number} failed: {record.error}")
    if record.status == "stopped":
        note(
            f"in the search, trial {number} was stopped ({record.error}); here it runs to its end"
        )
    if not options.ray:
        return work(workload, spec)
    if config.ray_address is not None:
        note(f"the search ran at {config.ray_address}; this rerun uses a Ray on this machine")
    for _, reference in code_in(spec.recipe):  # a worker has no consent to load code itself
        load_code(reference)
    return run_in_worker(with_own_code(work, config, spec.recipe), workload, spec)


def other_numbers(record: TrialRecord) -> str:
    """Return why a trial may give other bits on this machine; empty if nothing suggests it."""
    there, here = record.host.get("cpu"), describe_host()["cpu"]
    if record.conditions.device != "cpu" or there is None:
        return ""
    if record.conditions.precision == "bfloat16" and not is_native("cpu"):
        return (
            f"trial {record.number} was trained in bfloat16 on {there}; {here} has no "
            "instructions for it: this takes longer, and may give other bits"
        )
    if there != here:
        return (
            f"trial {record.number} was trained on {there}, this is {here}: it may give other bits"
        )
    return ""


def compare(
    folder: RunFolder, outcome: Outcome, final: FinalKey | None = None
) -> list[Comparison]:
    """Return the recorded and the repeated hash of each file that the recipe determines.

    Args:
        folder: the run.
        outcome: of the rerun.
        final: the final that was repeated, if it was not a trial.

    Raises:
        UserError: as `check_comparable`.
    """
    record = record_of(folder, outcome.number if final is None else final)
    check_comparable(record)
    return [
        Comparison(name, recorded, sha256_bytes(outcome.files.get(name, b"")))
        for name, recorded in sorted(record.artifacts.items())
        if name not in _NOT_COMPARED
    ]


def check_comparable(record: TrialRecord) -> None:
    """Check that a recorded trial has files to compare others with.

    Raises:
        UserError: the trial is not complete.
    """
    if record.status != "complete":
        became = "was stopped" if record.status == "stopped" else "failed"
        raise UserError(
            f"trial {record.number} {became}: {record.error}; it has no files to compare with, "
            "leave --check out"
        )


def changed(spec: TrialSpec, changes: Mapping[str, Any]) -> TrialSpec:
    """Return ``spec`` with other settings in its recipe.

    Args:
        spec: of a trial.
        changes: dotted recipe settings; a new method gets the defaults of its own settings.

    Raises:
        UserError: the result is no valid recipe.
    """
    recipe = merged(spec.recipe, {})
    for stage in ("prune", "quantize", "distill"):
        if f"{stage}.method" in changes:  # the settings of another method mean nothing to it
            row = {} if changes[f"{stage}.method"] == "none" else STAGES.get(stage, {})
            recipe[stage] = {k: v for k, v in recipe[stage].items() if k in row}
    for dotted, value in changes.items():
        set_path(recipe, dotted, value)
    Recipe.from_dict(recipe)  # a wrong change is the user's mistake, not a failed trial
    return TrialSpec.from_dict({**spec.to_dict(), "recipe": recipe})
