"""Shows a running trial to its judge: once before training, and at every rung after that."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slimtune.compression.pipeline import Compressed
from slimtune.compression.rungs import Monitor, Rung
from slimtune.search.trial.attempt import Judge, no_judge
from slimtune.search.trial.spec import Outcome

STRUCTURE = "structure"
"""The first rung: nothing is trained yet, but the size of the file can be measured."""

AT_LEAST = "accuracy_at_least"
"""Metric of a rung: see `Rung.at_least`."""

Measurements = dict[str, Any]


class Ended(Exception):
    """Leaves the body of a trial that its judge has ended; carries the outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Lookout:
    """Shows one trial to its judge.

    Args:
        judge: decides whether the trial continues; with `no_judge` nothing is measured.
        measure: returns every measured quantity of a compressed network.
        record: returns the outcome of a trial that ends now, from its objectives and metrics.
        objectives: names of the run's objectives.

    Attributes:
        rungs: for each rung that was reached, by name: the objectives there.
    """

    def __init__(
        self,
        judge: Judge,
        measure: Callable[[Compressed], Measurements],
        record: Callable[[Mapping[str, float], Mapping[str, Any]], Outcome],
        objectives: Sequence[str],
    ) -> None:
        self._judge = judge
        self._measure = measure
        self._record = record
        self._objectives = tuple(objectives)
        self._foreseen: Measurements = {}
        self.rungs: dict[str, dict[str, float]] = {}

    def watch(self) -> Monitor | None:
        """Return the callbacks that `compress` needs; None if no judge looks on."""
        if self._judge is no_judge:
            return None
        return Monitor(on_preview=self._foresee, on_rung=self._reach)

    def _foresee(self, preview: Compressed, certain: bool) -> None:
        self._foreseen = {**self._measure(preview), "structure_certain": certain}
        self._show(STRUCTURE, {"epochs": 0})

    def _reach(self, rung: Rung) -> None:
        progress = {"accuracy": rung.accuracy, "epochs": rung.epochs, "epochs_left": rung.left}
        self._show(rung.name, {**progress, AT_LEAST: rung.at_least})

    def _show(self, rung: str, progress: Mapping[str, Any]) -> None:
        """Show the trial to its judge.

        Raises:
            Ended: the judge ends the trial.
        """
        values = {**self._foreseen, **progress}
        names = (*self._objectives, AT_LEAST)
        self.rungs[rung] = {name: values[name] for name in names if name in values}
        objectives = {name: values.pop(name) for name in self._objectives if name in values}
        outcome = self._record(objectives, values)
        record = dataclasses.replace(outcome.payload, rungs=dict(self.rungs))
        outcome = dataclasses.replace(outcome, payload=record, rung=rung)
        if reason := self._judge(outcome):
            raise Ended(dataclasses.replace(outcome, reason=reason))
