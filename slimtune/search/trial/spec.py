"""The data that travel between the driver and a trial: specs and outcomes."""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from slimtune.conditions import Conditions
from slimtune.errors import RunError, shortened
from slimtune.results.store.record import TrialRecord


@dataclass(frozen=True)
class TrialSpec:
    """Everything that decides a trial's result, except for the workload.

    Attributes:
        number: the study's number of the trial, from 0, without gaps.
        recipe: the JSON form of the recipe.
        conditions: seeds, threads, device, precision and views.
    """

    number: int
    recipe: dict[str, Any]
    conditions: Conditions

    def moved(self, device: str, threads: int | None = None) -> "TrialSpec":
        """Return the same trial on another device, and with another number of threads if given."""
        threads = self.conditions.threads if threads is None else threads
        there = dataclasses.replace(self.conditions, device=device, threads=threads)
        return dataclasses.replace(self, conditions=there)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, which is flat; `from_dict` reads it back to an equal spec."""
        values = dataclasses.asdict(self)
        conditions = values.pop("conditions")
        return {**values, **conditions}

    @classmethod
    def from_dict(cls, mapping: dict[str, Any]) -> "TrialSpec":
        """Build a spec from its JSON form.

        Raises:
            RunError: a field is missing, or there is one that no spec has.
        """
        try:
            values = dict(mapping)
            own = {name: values.pop(name) for name in ("number", "recipe")}
            return cls(**own, conditions=Conditions(**values))
        except (TypeError, ValueError, KeyError):
            fields = [each.name for each in dataclasses.fields(Conditions)]
            names = ", ".join(["number", "recipe", *fields])
            got = shortened(mapping)
            raise RunError(f"a trial spec has the fields {names}, but this one is {got}") from None


@dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    Attributes:
        number: of the trial.
        status: ``"failed"`` if it raised or died; running it again would not help.
            ``"stopped"`` if it was ended early, because it could not have joined the front.
        objectives: objective name to measured value; may be empty if it failed.
        payload: the trial's record; None if its process died. To executors, any object that
            pickles.
        files: file name to content, for the trial's folder.
        reason: why it failed or was stopped, in one line; empty if it is complete.
        rung: the rung at which it stopped, or at which its judge sees it.
        entries: of the run's stage store: key to file name to content. No content stands for
            an entry that the trial took from there.
    """

    number: int
    status: Literal["complete", "failed", "stopped"]
    objectives: dict[str, float] = field(default_factory=dict)
    payload: Any = None
    files: dict[str, bytes] = field(default_factory=dict)
    reason: str = ""
    rung: str = ""
    entries: dict[str, dict[str, bytes]] = field(default_factory=dict)


def outcome_of(record: TrialRecord) -> Outcome:
    """Return the outcome of a stored record, without its files."""
    reason = record.error or ""
    return Outcome(record.number, record.status, record.objectives, reason=reason)


def trial_seed(run_seed: int, number: int) -> int:
    """Return the seed of trial ``number``, 0..2^31-1: the same on every host and version.

    It is a hash, so that neighbouring runs and trials share no random streams.
    """
    return _hashed(f"{run_seed}/{number}")


def shared_seed(run_seed: int) -> int:
    """Return the seed of the beginnings that trials of a run share, 0..2^31-1: ``prefix_seed``."""
    return _hashed(f"{run_seed}/prefix")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
