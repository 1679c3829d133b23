"""What can happen in a search: one type an event, in the order in which they may come.

A listener is called with each. ``event.kind`` is its name in lines of JSON, and
``event.values()`` is what such a line says of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # the command line's help needs no numpy
    from slimtune.results.store.record import TrialRecord


@dataclass(frozen=True)
class Event:
    """Something that happened; its own type says what."""

    kind: ClassVar[str]

    def values(self) -> dict[str, Any]:
        """Return what is told of it, by name: its attributes, if its type says nothing else."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


Listener = Callable[[Event], None]


def ignore_events(event: Event) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Decoding(Event):
    """Images are being decoded: so many of so many."""

    kind = "decoding"
    images: int
    of: int


@dataclass(frozen=True)
class WorkloadReady(Event):
    """Data and network are loaded: what will be searched, on what."""

    kind = "workload"
    data: str
    image_shape: tuple[int, int, int]
    classes: int
    train: int
    validation: int
    test: int
    validation_source: str
    notes: tuple[str, ...]
    model: str
    trials: int
    workers: int
    seed: int
    normalisation: str
    params: int


@dataclass(frozen=True)
class EpochTrained(Event):
    """The baseline or the teacher (``what``) was trained for one more epoch."""

    kind = "epoch"
    what: str
    epoch: int
    loss: float
    lr: float
    validation_accuracy: float


@dataclass(frozen=True)
class BaselineMeasured(Event):
    """The baseline was measured: ``accuracy``, ``size_bytes``, ``test_accuracy`` and so on."""

    kind = "baseline"
    measured: Mapping[str, Any]

    def values(self) -> dict[str, Any]:
        """Return all that was measured."""
        return dict(self.measured)


@dataclass(frozen=True)
class TeacherMeasured(Event):
    """A teacher of its own was measured: the objectives, and those of the test split."""

    kind = "teacher"
    measured: Mapping[str, Any]
    model: str | None

    def values(self) -> dict[str, Any]:
        """Return all that was measured, and the model."""
        return {**self.measured, "model": self.model}


@dataclass(frozen=True)
class Warned(Event):
    """Something is not as the user may expect."""

    kind = "warning"
    text: str


@dataclass(frozen=True)
class LimitsSet(Event):
    """The limits, resolved and as asked for; with those before, if the run goes on with others.

    ``stopped`` are the trials that were stopped under tighter limits and stay so.
    """

    kind = "limits"
    limits: Mapping[str, float]
    asked: Mapping[str, str]
    before: Mapping[str, float] | None = None
    asked_before: Mapping[str, str] | None = None
    stopped: tuple[int, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the run goes on with other limits."""
        return self.before is not None

    def values(self) -> dict[str, Any]:
        """Return the limits, and those before only if they are others."""
        values = super().values()
        names = list(values) if self.changed else ["limits", "asked"]
        return {name: values[name] for name in names}


@dataclass(frozen=True)
class Resumed(Event):
    """A run goes on: finished trials, how many run again, how many there shall be."""

    kind = "resumed"
    records: "tuple[TrialRecord, ...]"
    again: int
    total: int


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial starts; its recipe in a few words."""

    kind = "started"
    number: int
    pipeline: str


@dataclass(frozen=True)
class PhaseEntered(Event):
    """A running trial entered a phase; another thread may report it."""

    kind = "stage"
    number: int
    phase: str

    def values(self) -> dict[str, Any]:
        """Return the trial and its phase, under the name that JSON has for it."""
        return {"number": self.number, "stage": self.phase}


@dataclass(frozen=True)
class TrialFinished(Event):
    """A trial is in the run folder: complete, stopped or failed."""

    kind = "finished"
    record: "TrialRecord"


@dataclass(frozen=True)
class Stopping(Event):
    """A signal came: running trials have ``grace`` seconds; told from another thread."""

    kind = "stopping"
    grace: float


@dataclass(frozen=True)
class Stuck(Event):
    """The search does not end though it was interrupted; told from another thread."""

    kind = "stuck"


@dataclass(frozen=True)
class SearchStopped(Event):
    """No more trials are proposed, though some are left."""

    kind = "stopped"
    reason: str


@dataclass(frozen=True)
class Fruitless(Event):
    """All trials have ended and none is complete; the reason of the first."""

    kind = "fruitless"
    reason: str | None


@dataclass(frozen=True)
class FinalsPlanned(Event):
    """The front's members run again: so often, so many epochs (``cheap`` in the trials)."""

    kind = "finals"
    members: int
    repeats: int
    epochs: int
    cheap: int
    finished: int
    total: int


@dataclass(frozen=True)
class FinalStarted(Event):
    """A final starts: its trial, its repeat from 0, its name, its recipe in a few words."""

    kind = "final_started"
    trial: int
    repeat: int
    name: str
    pipeline: str


@dataclass(frozen=True)
class FinalFinished(Event):
    """A final is in the run folder, as so many of so many."""

    kind = "final_finished"
    trial: int
    repeat: int
    name: str
    finished: int
    total: int
    record: "TrialRecord"


@dataclass(frozen=True)
class FinalsMeasured(Event):
    """The finals were measured together; the trials that left the front by it."""

    kind = "finals_measured"
    left: tuple[int, ...]


@dataclass(frozen=True)
class LimitsMissed(Event):
    """No trial is within the limits; which came nearest."""

    kind = "missed"
    text: str


@dataclass(frozen=True)
class FrontMeasured(Event):
    """The search has its answer; ``share`` is its part of the largest hypervolume possible."""

    kind = "final"
    hypervolume: float
    share: float
    members: int


@dataclass(frozen=True)
class ReportWritten(Event):
    """The report is there."""

    kind = "report"
    path: str
