"""The stage store: trials of a run that begin alike train their common beginning once.

The *beginning* of a trial is its recipe up to the end of a stage: pruned, or pruned and
fine-tuned, but not yet quantized. The student at its end is kept as a *snapshot*, and every
trial with the same beginning loads the snapshot instead of training again. A snapshot is kept
only if training went into it: surgery alone takes less time than reading a file.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slimtune.compression.pipeline import StudentState
from slimtune.compression.recipe import Recipe
from slimtune.errors import RunError
from slimtune.results.store.folder import RunFolder
from slimtune.search.settings.stage_room import room_in_bytes
from slimtune.search.trial.attempt import FetchEntry, no_entry
from slimtune.search.trial.snapshot_files import snapshot_files, snapshot_from_files
from slimtune.search.trial.snapshot_key import run_origin, snapshot_facts, snapshot_key
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.workload.types import Workload


class RunStore:
    """The stage store of a run, in the driver, which alone writes to it.

    Args:
        folder: of the run.
        room: bytes that the entries may take, as in the settings; 0 switches sharing off.
        workload: of the run.
        warn: called once when the disk refuses; from then on nothing more is kept.

    Attributes:
        origin: what every entry of the run depends on; None if there is no store.
        fetch: reads an entry. It pickles, so that other processes of this host can call it.
    """

    def __init__(
        self, folder: RunFolder, room: str, workload: Workload, warn: Callable[[str], None]
    ) -> None:
        self._store = folder.checkpoints(room_in_bytes(room))
        self._warn = warn
        self._open = self._store.room > 0
        fingerprint = folder.manifest["workload"]["fingerprint"]
        self.origin = run_origin(workload, fingerprint) if self._open else None
        self.fetch: FetchEntry = self._store.fetch if self._open else no_entry

    def add(self, entries: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep the entries that a trial has returned.

        Args:
            entries: key to file name to content; see `Outcome.entries`.
        """
        if not self._open:
            return
        try:
            self._store.add(entries)
        except RunError as error:
            self._open = False
            self._warn(f"trials no longer share stages: {error}")


class Beginning:
    """The beginning of one trial: loaded from the store, or trained and handed to it.

    Args:
        origin: from `run_origin`; None: the trial shares nothing.
        spec: of the trial.
        fetch: reads an entry of the store.
    """

    def __init__(
        self, origin: Mapping[str, Any] | None, spec: TrialSpec, fetch: FetchEntry
    ) -> None:
        self._origin = origin
        self._spec = spec
        self._fetch = fetch
        self._recipe = Recipe()
        self._facts: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        self._reused = ""
        self._entries: dict[str, dict[str, bytes]] = {}

    def find(self, recipe: Recipe) -> StudentState | None:
        """Return the student after the last stage of ``recipe`` that the store holds.

        Returns:
            The student; None if the store holds no snapshot of this beginning.
        """
        if self._origin is None:
            return None
        self._recipe = recipe
        for done in stages_worth_keeping(recipe):
            self._facts[done] = snapshot_facts(self._origin, self._spec, recipe, done)
            self._keys[done] = snapshot_key(self._facts[done])
        # The latest stage first: it saves the most work.
        for done, key in reversed(self._keys.items()):
            student = self._read(key, done)
            if student is not None:
                self._reused = done
                self._entries[key] = {}  # no content: the store notes that it was used again
                return student
        return None

    def keep(self, progress: StudentState) -> None:
        """Keep the student after a stage as a snapshot, if training went into it."""
        if progress.done in self._keys:
            facts = self._facts[progress.done]
            self._entries[self._keys[progress.done]] = snapshot_files(
                progress, self._recipe, facts
            )

    def attach_to(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the trial's snapshots, and with their keys in its record."""
        if not self._keys:
            return outcome
        record = dataclasses.replace(outcome.payload, stages=self._keys, reused=self._reused)
        return dataclasses.replace(outcome, payload=record, entries=self._entries)

    def _read(self, key: str, done: str) -> StudentState | None:
        try:
            files = self._fetch(key)
            student = snapshot_from_files(files, self._recipe, Path(key)) if files else None
        except Exception:  # damaged, or the host of the store is gone: the trial trains again
            return None
        return student if student is not None and student.done == done else None


def stages_worth_keeping(recipe: Recipe) -> list[str]:
    """Return the stages of a recipe after which a snapshot is kept, in their order.

    A snapshot after ``prune`` needs training before it (for sparsity, or between the steps of
    pruning) and a fine-tune after it. A snapshot after ``train`` needs any training. With order
    ``spq`` there is none: the quantizer acts from the start.
    """
    recipe = recipe.effective()
    prune = recipe.prune
    if recipe.order == "spq":
        return []
    early = prune is not None and bool(
        prune.method.sparsity_epochs or (recipe.in_steps and prune.step_epochs)
    )
    late = recipe.train.epochs > 0
    return ["prune"] * (early and late) + ["train"] * (early or late)
