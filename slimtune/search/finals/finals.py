"""Finals: the members of the front run again, longer and with other seeds."""

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
from slimtune.results.store.finals import FinalKey, folder_of, record_of, write_final_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.integrity import find_fault
from slimtune.results.store.joint import read_joint
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed, seal
from slimtune.search.finals.joint_measurement import (
    measure_finals,
    measure_front,
    members_by_joint_latency,
)
from slimtune.search.listeners.events import (
    FinalFinished,
    FinalsMeasured,
    FinalsPlanned,
    FinalStarted,
)
from slimtune.search.resuming.aside import for_want_of_disk
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import AtPhase
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.recorder import Recorder
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.search.underway.open_search import OpenSearch
from slimtune.workload.types import Workload


def run_finals(search: OpenSearch) -> None:
    """Run the finals that are missing, and measure all of them; none is stopped early.

    The listener receives `FinalsPlanned`, `FinalStarted` and `FinalFinished` of each final, and
    `FinalsMeasured`.

    Args:
        search: whose trials have ended, and whose settings ask for finals.

    Raises:
        SearchFailedError: not one final could be completed.
        RunError: the disk refuses.
        KeyboardInterrupt: as `OpenSearch.execute`; every finished final is in the run folder.
    """
    config, folder, workload = search.config, search.folder, search.workload
    members = front_members(folder, workload)
    if not members:  # no trial is within the limits; the baseline is measured all the same
        measure_front(folder, workload, search.warn)
        return
    specs = plan(config, folder, members)
    done = _finished(folder, specs, search.warn)
    cheap = config.longest_train()
    search.listener(
        FinalsPlanned(
            members=len(members),
            repeats=config.final.seeds,
            epochs=config.final.length(cheap),
            cheap=cheap,
            finished=len(done),
            total=len(specs),
        )
    )
    if len(done) < len(specs):
        work = partial(run_trial, objectives=tuple(config.objectives))
        search.execute(work, _FinalsDriver(search, specs, done))
    for text in _lost(done, members):
        search.warn(text)
    measure_finals(folder, workload, done)
    stayed = set(open_run(folder.path).front()["trial"])
    search.listener(FinalsMeasured(tuple(n for n in members if n not in stayed)))


def front_members(folder: RunFolder, workload: Workload) -> list[int]:
    """Return the trials that run again as finals: the front of the search.

    The choice is stored, so that a resumed search does not choose other members because a latency
    came out differently. If the search had ended without finals, its joint measurement decides;
    otherwise the latencies are measured together now.
    """
    file = folder.path / "front" / "members.json"
    candidates = [record.number for record in open_run(folder.path).candidates()]
    if (members := _read_members(folder, candidates)) is not None:
        return members
    rows = [row for row in read_joint(folder.path) if row.trial is not None]
    covered = {row.trial for row in rows} >= set(candidates)
    if covered and all(row.repeats is None for row in rows):
        members = open_run(folder.path).standing(rows)
    else:
        members = members_by_joint_latency(folder, workload) if candidates else []
    file.parent.mkdir(exist_ok=True)
    atomic_write(file, seal({"candidates": candidates, "members": members}))
    return members


def _read_members(folder: RunFolder, candidates: list[int]) -> list[int] | None:
    try:
        decision = read_sealed(folder.path / "front" / "members.json")
    except RunError:  # missing or damaged: choose again
        return None
    members = decision.get("members")
    sound = isinstance(members, list) and all(number in candidates for number in members)
    return members if sound and decision.get("candidates") == candidates else None


def plan(config: SearchConfig, folder: RunFolder, members: list[int]) -> dict[FinalKey, TrialSpec]:
    """Return the spec of every final; the first seed of each member comes before any second one.

    The specs are numbered from 0, because executors identify outcomes by number; the record of a
    final has the number of its trial. Finals run on the config's device, which may differ from
    the trial's if the run continues on another machine.

    Args:
        config: of the search as it continues.
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
    """Return the seed of a final, 0..2^31-1; never the trial's, which may be a lucky one."""
    digest = hashlib.sha256(f"{run_seed}/final/{trial}/{repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _finished(
    folder: RunFolder, specs: Mapping[FinalKey, TrialSpec], warn: Callable[[str], None]
) -> dict[FinalKey, TrialRecord]:
    """Return the records of finals that exist; a folder with a damaged record is set aside."""
    records = {}
    for key in specs:
        if not folder_of(folder, key).is_dir():
            continue
        why = "damaged"
        try:
            record = record_of(folder, key)
            if fault := find_fault(folder_of(folder, key), record.artifacts, gone=True):
                raise RunError(fault)
            if for_want_of_disk(record):
                why = "failed"
                raise RunError(
                    f"final {key.name} failed because the disk was full ({record.error})"
                )
            records[key] = record
        except RunError as error:
            aside = set_aside(folder_of(folder, key), why)
            warn(f"{error}; kept as finals/{aside.name}, the final runs again")
    return records


class _FinalsDriver(Driver):
    """Supplies the specs that are not done, and adds their records to those that are."""

    def __init__(
        self,
        search: OpenSearch,
        specs: Mapping[FinalKey, TrialSpec],
        done: dict[FinalKey, TrialRecord],
    ) -> None:
        self._listener = search.listener
        self._folder = search.folder
        self._specs = specs
        self._keys = list(specs)
        self._done = done
        self._remaining = iter([spec for key, spec in specs.items() if key not in done])
        self._recorder = Recorder(search.folder, self._write)

    def ask(self) -> TrialSpec | None:
        return next(self._remaining, None)

    def tell(self, outcome: Outcome) -> None:
        key = self._keys[outcome.number]
        self._recorder.record(self._specs[key], outcome)
        self._done[key] = record_of(self._folder, key)

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        if isinstance(what, AtPhase):
            return
        key = self._keys[what.number]
        which = key.trial, key.repeat, key.name
        if isinstance(what, TrialSpec):
            words = Recipe.from_dict(what.recipe).describe()
            self._listener(FinalStarted(*which, words))
        else:
            counted = len(self._done), len(self._specs)
            self._listener(FinalFinished(*which, *counted, self._done[key]))

    def name_of(self, number: int) -> str:
        return f"final {self._keys[number].name}"

    def _write(
        self, record: TrialRecord, spec: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> None:
        write_final_run(self._folder, self._keys[record.number], record, spec=spec, files=files)


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
            f"no final could be completed; the first failed with: {first}; the trials are "
            "unchanged, and slimtune front shows their front"
        )
    return [
        f"trial {number} leaves the front: at full length it failed with: {errors[number]}"
        for number in members
        if number not in completed
    ]
