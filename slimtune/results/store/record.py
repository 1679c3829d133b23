"""The record of one trial: what was asked, what came out, and on which machine."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from slimtune.errors import RunError, from_validation
from slimtune.results.objectives import OBJECTIVES, Objective, is_number
from slimtune.results.reprs import RecordRepr
from slimtune.results.store.shapes import STRICT, Measure

Metric = Measure | Annotated[int, Field(gt=-(2**63), lt=2**63)] | str | bool | None


@dataclass(frozen=True, kw_only=True, repr=False)
class TrialRecord(RecordRepr):
    """What is known of one finished trial.

    Attributes:
        number: of the trial in its run, from 0.
        status: "complete" if every objective was measured, "stopped" if the trial was ended
            because it could not have joined the front.
        recipe: the pipeline in its JSON form.
        pipeline: the pipeline in a few words.
        seed: of every random choice in the trial, but for those of ``prefix_seed``.
        prefix_seed: of the stages up to the fine-tune, where it is not ``seed``.
        threads: torch threads; another number gives other bits.
        device: where it was trained, such as "cpu" or "cuda".
        objectives: measured values by objective name, in the objective's own unit.
        metrics: measured, not optimised.
        artifacts: file name -> SHA-256 in hexadecimal, of every file in the trial's folder.
        rungs: objectives by the name of each rung where the trial could have been stopped, of
            the network in training and the file foreseen for it.
        error: why it failed or was stopped, in one line.
        traceback: where it failed; kept in error.txt, never in the JSON form.
        seconds: wall-clock time by stage.
        host: the machine and the versions.
        stages: stages after which the student was kept -> key in the run's stage store.
        reused: the last stage that was taken from there instead of being done; or empty.
        precision: in which networks were trained; all else is float32.
        views: augmentations of each image that its teacher was asked about; 0: every step's.
    """

    __pydantic_config__ = STRICT

    number: int
    status: Literal["complete", "failed", "stopped"]
    recipe: dict[str, Any]
    pipeline: str
    seed: int
    threads: int = 1
    device: str = "cpu"
    objectives: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    rungs: dict[str, dict[str, float]] = field(default_factory=dict)
    error: str | None = None
    traceback: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    prefix_seed: int | None = None
    stages: dict[str, str] = field(default_factory=dict)
    reused: str = ""
    precision: Literal["float32", "bfloat16"] = "float32"
    views: int = 0

    @property
    def finite_objectives(self) -> dict[str, float]:
        """The objectives that are finite numbers within their range."""
        return {
            name: float(value)
            for name, value in self.objectives.items()
            if _known(name).fault(value) is None
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
        """Return the JSON form, without the traceback."""
        values = dataclasses.asdict(self)
        del values["traceback"]
        return values

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
            record = _ADAPTER.validate_json(json.dumps(mapping))
        except ValidationError as error:
            raise RunError(f"{where}: {from_validation(error)}") from None
        fault = _fault(record, ())
        if record.status == "complete" and fault is not None:
            raise RunError(f"{where}: {fault}")
        return record


_ADAPTER: TypeAdapter[TrialRecord] = TypeAdapter(TrialRecord)


def checked(record: TrialRecord, required: Sequence[str] = ()) -> TrialRecord:
    """Return the record with nothing in it that a front or a JSON file cannot hold.

    A complete trial with an objective that is missing, not finite or out of range becomes a
    failed one that says so, and keeps its sound objectives. Metrics and seconds that are not
    finite become None or go; numpy scalars become plain numbers.

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


def _known(name: str) -> Objective:
    return OBJECTIVES.get(name, Objective(name, "minimize", "", name, low=-math.inf))


def _fault(record: TrialRecord, required: Sequence[str]) -> str | None:
    for name in required:
        if name not in record.objectives:
            return f"missing objective: {name} was not measured"
    faults = (_known(name).fault(value) for name, value in record.objectives.items())
    return next((fault for fault in faults if fault is not None), None)


def _plain(value: Any) -> Metric:
    value = value.item() if isinstance(value, np.generic) else value
    return None if is_number(value) and not math.isfinite(value) else value
