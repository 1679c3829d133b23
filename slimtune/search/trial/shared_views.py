"""The teacher's answers: kept in the stage store, so that one trial asks for all trials."""

import dataclasses
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slimtune.results.store.files import sha256_bytes, to_json
from slimtune.search.trial.attempt import FetchEntry
from slimtune.search.trial.snapshot_key import shared_conditions
from slimtune.search.trial.spec import Outcome, TrialSpec

SCHEMA = 1
FILE = "logits.npy"
_SHARED = ("data", "augmentation", "baseline", "teacher")


class SharedViews:
    """The teacher's answers for one trial: read from the store, or computed and handed to it.

    A *view* is one augmented version of all training images. Parallel trials that need the same
    view at the same time each ask the teacher, and get the same answers, bit for bit.

    Args:
        origin: from `run_origin`; None: the trial shares nothing.
        spec: of the trial.
        fetch: reads an entry of the run's stage store.
    """

    def __init__(
        self, origin: Mapping[str, Any] | None, spec: TrialSpec, fetch: FetchEntry
    ) -> None:
        self._origin = origin
        self._spec = spec
        self._fetch = fetch
        self._entries: dict[str, dict[str, bytes]] = {}

    def recall(self, view: int, ask: Callable[[], Tensor]) -> Tensor:
        """Return the answers to a view, from the store or else from the teacher.

        Args:
            view: its number, from 0.
            ask: asks the teacher; returns its logits.
        """
        if self._origin is None:
            return ask()
        key = view_key(self._origin, self._spec, view)
        stored = self._read(key)
        if stored is not None:
            self._entries[key] = {}
            return stored
        answers = ask()
        text = io.BytesIO()
        np.save(text, answers.numpy(), allow_pickle=False)
        self._entries[key] = {FILE: text.getvalue()}
        return answers

    def attach_to(self, outcome: Outcome) -> Outcome:
        """Return the trial's outcome with the answers that it used, as entries for the store."""
        return dataclasses.replace(outcome, entries={**outcome.entries, **self._entries})

    def _read(self, key: str) -> Tensor | None:
        try:
            files = self._fetch(key)
            data = io.BytesIO(files[FILE]) if files else None
            return torch.from_numpy(np.load(data, allow_pickle=False)) if data else None
        except Exception:  # damaged, or the host of the store is gone: ask the teacher
            return None


def view_key(origin: Mapping[str, Any], spec: TrialSpec, view: int) -> str:
    """Return the key of the answers to a view: a hash of everything that they depend on.

    Args:
        origin: from `run_origin`.
        spec: of the trial: seed of the views, threads, device, precision.
        view: its number, from 0.
    """
    facts = {
        "schema": SCHEMA,
        "view": view,
        **{name: origin[name] for name in _SHARED},
        **shared_conditions(spec.conditions),
    }
    return sha256_bytes(to_json(facts))
