"""The record of one trial: its recipe, its measurements and its machine."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from slimtune.conditions import Conditions
from slimtune.errors import RunError, from_validation
from slimtune.results.objectives import OBJECTIVES, Objective, is_number
from slimtune.results.reprs import RecordRepr
from slimtune.results.store.shapes import STRICT, Measure

Metric = Measure | Annotated[int, Field(gt=-(2**63), lt=2**63)] | str | bool | None


@dataclass(frozen=True, kw_only=True, repr=False)
class TrialRecord(RecordRepr):
    """The record of one finished trial.

    Attributes:
        number: of the trial in its run, from 0.
        status: "complete" if every objective was measured, "stopped" if the trial was ended early
            because it could not have joined the front, or "failed".
        recipe: the pipeline in its JSON form.
        pipeline: the pipeline in a few words.
        conditions: the seeds, threads, device and so on that it ran with.
        objectives: measured values by objective name, in the objective's own unit.
        metrics: values that were measured but not optimised.
        artifacts: file name -> SHA-256 in hexadecimal, of every file in the trial's folder.
        rungs: name of each rung, at which the trial could have been stopped -> the objectives of
            the network in training and of the file expected from it.
        error: why it failed or was stopped, in one line.
        traceback: of the failure; kept in error.txt, not in the JSON form.
        seconds: wall-clock time by stage.
        host: the machine and the versions.
        stages: stage -> key of the checkpoint of the student after it, in the run's store.
        reused: the last stage whose checkpoint was used instead of doing the work; or empty.
    """

    __pydantic_config__ = STRICT

    number: int
    status: Literal["complete", "failed", "stopped"]
    recipe: dict[str, Any]
    pipeline: str
    conditions: Conditions
    objectives: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    rungs: dict[str, dict[str, float]] = field(default_factory=dict)
    error: str | None = None
    traceback: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    reused: str = ""

    @property
    def finite_objectives(self) -> dict[str, float]:
        """The objectives that are finite numbers within their range."""
        return {
            name: float(value)
            for name, value in self.objectives.items()
            if _objective(name).fault(value) is None
        }

    @property
    def measured(self) -> dict[str, Metric]:
        """Everything that was measured by its name, optimised or not."""
        return {**self.metrics, **self.objectives}

    @property
    def stable(self) -> bool:
        """Whether the machine was quiet enough for the latency; True where that is not known."""
        return self.metrics.get("latency_stable") is not False

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: flat, without the traceback."""
        values = dataclasses.asdict(self)
        values |= values["conditions"]
        return {name: values[name] for name in _JSON_KEYS}

    @classmethod
    def from_dict(cls, mapping: object, where: str) -> "TrialRecord":
        """Build a record from its JSON form.

        Args:
            mapping: what `to_dict` returned; keys that are not known are ignored.
            where: the file it came from, for the message.

        Raises:
            RunError: a key is missing or has the wrong type, or a complete trial holds an
                objective that cannot have been measured.
        """
        try:
            # As JSON: only there does a strict adapter make dataclasses of mappings.
            record = _ADAPTER.validate_json(json.dumps(_nested(mapping)))
        except ValidationError as error:
            text = str(from_validation(error)).removeprefix("conditions.")
            raise RunError(f"{where}: {text}") from None
        fault = _fault(record, ())
        if record.status == "complete" and fault is not None:
            raise RunError(f"{where}: {fault}")
        return record


_JSON_KEYS = (
    *("number", "status", "recipe", "pipeline", "seed", "threads", "device"),
    *("objectives", "metrics", "artifacts", "rungs", "error", "seconds", "host"),
    *("prefix_seed", "stages", "reused", "precision", "views"),
)
"""Keys of result.json in their order; those of `Conditions` lie among the others."""


def _nested(mapping: object) -> object:
    """Return the JSON form with its conditions in a mapping of their own."""
    if not isinstance(mapping, dict):
        return mapping
    names = [each.name for each in dataclasses.fields(Conditions)]
    return {**mapping, "conditions": {name: mapping[name] for name in names if name in mapping}}


_ADAPTER: TypeAdapter[TrialRecord] = TypeAdapter(TrialRecord)


def clean_record(record: TrialRecord, required: Sequence[str] = ()) -> TrialRecord:
    """Return the record with only values that a front and a JSON file can hold.

    A complete trial with an objective that is missing, not finite or out of range becomes a
    failed one with that error, and keeps its valid objectives. Metrics that are not finite become
    None, seconds that are not finite are left out, and numpy scalars become plain numbers.

    Args:
        record: as the trial reported it.
        required: names of the run's objectives.
    """
    fault = _fault(record, required) if record.status == "complete" else None
    return dataclasses.replace(
        record,
        status="failed" if fault else record.status,
        error=fault or record.error,
        objectives=record.finite_objectives,
        metrics={name: _plain(value) for name, value in record.metrics.items()},
        seconds={name: float(s) for name, s in record.seconds.items() if math.isfinite(s)},
    )


def _objective(name: str) -> Objective:
    return OBJECTIVES.get(name, Objective(name, "minimize", "", name, low=-math.inf))


def _fault(record: TrialRecord, required: Sequence[str]) -> str | None:
    for name in required:
        if name not in record.objectives:
            return f"missing objective: {name} was not measured"
    faults = (_objective(name).fault(value) for name, value in record.objectives.items())
    return next((fault for fault in faults if fault is not None), None)


def _plain(value: Any) -> Metric:
    value = value.item() if isinstance(value, np.generic) else value
    return None if is_number(value) and not math.isfinite(value) else value
