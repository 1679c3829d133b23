"""Cheap first, full for the few: the front's members run again, longer and with other seeds."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from slimtune.compression.lengthening import lengthened
from slimtune.compression.recipe import Recipe
from slimtune.errors import RunError, SearchFailedError
from slimtune.results.run import open_run
from slimtune.results.store.files import atomic_write, set_aside
from slimtune.results.store.final import read_final
from slimtune.results.store.finals import FinalKey, place, record_of, write_final_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.integrity import fault_in
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed, sealed
from slimtune.search.executors.second_chance import Called
from slimtune.search.finals.final_measurement import measure_finals, measure_front, still_standing
from slimtune.search.resuming.aside import for_want_of_disk
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import AtStage, OnEvent, Work
from slimtune.search.trial.recorder import Recorder
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload.types import Workload

Listener = Callable[[str, Mapping[str, Any]], None]
Execute = Callable[
    [Work, Callable[[], TrialSpec | None], Callable[[Outcome], None], OnEvent, Called], None
]
"""Run specs on the search's executor: the work, who to ask, who to tell, who watches, names."""


def run_finals(
    config: SearchConfig,
    folder: RunFolder,
    workload: Workload,
    listener: Listener,
    execute: Execute,
) -> None:
    """Run what lacks of the finals, and measure all of them; no trial is stopped early here.

    Args:
        config: whose ``final`` asks for them.
        folder: a run whose trials have ended, and whose lock this process holds.
        workload: of the run.
        listener: told of ``finals``, ``final_started``, ``final_finished``, ``warning``, and
            ``finals_measured`` with the members that are no longer on the front.
        execute: runs specs and returns when there are no more, or raises KeyboardInterrupt.

    Raises:
        SearchFailedError: not one final could be completed.
        RunError: the disk refuses.
        KeyboardInterrupt: as ``execute``; every finished final is in the run folder.
    """

    def warn(text: str) -> None:
        listener("warning", {"text": text})

    members = front_members(folder, workload)
    if not members:  # no trial keeps the limits; there is still the baseline to measure
        measure_front(folder, workload, warn)
        return
    specs = plan(config, folder, members)
    done = _finished(folder, specs, warn)
    cheap = config.longest_train()
    listener(
        "finals",
        {
            "members": len(members),
            "repeats": config.final.seeds,
            "epochs": config.final.length(cheap),
            "cheap": cheap,
            "finished": len(done),
            "total": len(specs),
        },
    )
    if len(done) < len(specs):
        _run(config, folder, specs, done, listener, execute)
    for text in _lost(done, members):
        warn(text)
    measure_finals(folder, workload, done)
    stayed = set(open_run(folder.path).front()["trial"])
    listener("finals_measured", {"left": [n for n in members if n not in stayed]})


def front_members(folder: RunFolder, workload: Workload) -> list[int]:
    """Return the trials that are run again: the front of the cheap search.

    Decided once for the same trials, so that a search that goes on does not turn to others
    because a latency came out otherwise: by the final measurement if the search had ended without
    finals, else by a measurement of the latencies together.
    """
    file = folder.path / "front" / "members.json"
    candidates = [record.number for record in open_run(folder.path).candidates()]
    if (known := _read_members(folder, candidates)) is not None:
        return known
    rows = [row for row in read_final(folder.path) if row.trial is not None]
    covered = {row.trial for row in rows} >= set(candidates)
    if covered and all(row.repeats is None for row in rows):
        members = open_run(folder.path).standing(rows)
    else:
        members = still_standing(folder, workload) if candidates else []
    file.parent.mkdir(exist_ok=True)
    atomic_write(file, sealed({"candidates": candidates, "members": members}))
    return members


def _read_members(folder: RunFolder, candidates: list[int]) -> list[int] | None:
    try:
        known = read_sealed(folder.path / "front" / "members.json")
    except RunError:  # missing, or damaged: it is decided again
        return None
    members = known.get("members")
    sound = isinstance(members, list) and all(number in candidates for number in members)
    return members if sound and known.get("candidates") == candidates else None


def plan(config: SearchConfig, folder: RunFolder, members: list[int]) -> dict[FinalKey, TrialSpec]:
    """Return the spec of every final; all first seeds come before the second ones.

    The numbers of the specs count them, for executors tell their outcomes apart by number; what
    is written bears the number of the trial. They run on the device that the config gives them,
    which may be another than the trial's: a run may go on elsewhere.

    Args:
        config: of the search as it goes on.
        folder: the run.
        members: trials to run again.
    """
    cheap = config.longest_train()
    full = config.final.length(cheap)
    specs: dict[FinalKey, TrialSpec] = {}
    for repeat in range(config.final.seeds):
        for number in members:
            record = folder.record(number)
            recipe = lengthened(Recipe.from_dict(record.recipe), cheap, full).to_dict()
            conditions = replace(
                record.conditions,
                seed=final_seed(config.seed, number, repeat),
                prefix_seed=None,
                device=config.per_trial.device,
            )
            specs[FinalKey(number, full, repeat)] = TrialSpec(len(specs), recipe, conditions)
    return specs


def final_seed(run_seed: int, trial: int, repeat: int) -> int:
    """Return the seed of a final, 0..2^31-1: never the trial's, whose luck put it on the front."""
    digest = hashlib.sha256(f"{run_seed}/final/{trial}/{repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _finished(
    folder: RunFolder, specs: Mapping[FinalKey, TrialSpec], warn: Callable[[str], None]
) -> dict[FinalKey, TrialRecord]:
    """Return the records that are there; a folder whose record cannot be read is set aside."""
    found = {}
    for key in specs:
        if not place(folder, key).is_dir():
            continue
        why = "damaged"
        try:
            record = record_of(folder, key)
            if fault := fault_in(place(folder, key), record.artifacts, gone=True):
                raise RunError(fault)
            if for_want_of_disk(record):
                why = "failed"
                raise RunError(f"final {key.name} failed for want of disk space ({record.error})")
            found[key] = record
        except RunError as error:
            aside = set_aside(place(folder, key), why)
            warn(f"{error}; kept as finals/{aside.name}, the final runs again")
    return found


def _run(
    config: SearchConfig,
    folder: RunFolder,
    specs: Mapping[FinalKey, TrialSpec],
    done: dict[FinalKey, TrialRecord],
    listener: Listener,
    execute: Execute,
) -> None:
    """Run the specs that are not done, and add their records to those that are."""
    keys = list(specs)
    left = iter([spec for key, spec in specs.items() if key not in done])

    def write(record: TrialRecord, spec: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        write_final_run(folder, keys[record.number], record, spec, files)

    recorder = Recorder(folder, write)

    def tell(outcome: Outcome) -> None:
        key = keys[outcome.number]
        recorder.record(specs[key], outcome)
        done[key] = record_of(folder, key)

    def on_event(_event: str, what: TrialSpec | Outcome | AtStage) -> None:
        if isinstance(what, AtStage):
            return
        key = keys[what.number]
        told = {"trial": key.trial, "repeat": key.repeat, "name": key.name}
        if isinstance(what, TrialSpec):
            words = Recipe.from_dict(what.recipe).describe()
            listener("final_started", {**told, "pipeline": words})
        else:
            counted = {"finished": len(done), "total": len(specs)}
            listener("final_finished", {**told, **counted, "record": done[key]})

    work = partial(run_trial, objectives=tuple(config.objectives))
    execute(
        work,
        lambda: next(left, None),
        tell,
        on_event,
        lambda number: f"final {keys[number].name}",
    )


def _lost(done: Mapping[FinalKey, TrialRecord], members: list[int]) -> list[str]:
    """Return a line for each member none of whose finals could be completed.

    Raises:
        SearchFailedError: there are no others.
    """
    completed = {key.trial for key, record in done.items() if record.status == "complete"}
    errors = {key.trial: record.error for key, record in reversed(list(done.items()))}
    if not completed:
        first = errors[members[0]]
        raise SearchFailedError(
            f"no final could be completed; the first failed with: {first}; the trials are as they "
            "were, and their front is shown by slimtune front"
        )
    return [
        f"trial {number} leaves the front: at full length it failed with: {errors[number]}"
        for number in members
        if number not in completed
    ]
