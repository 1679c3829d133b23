"""The events of a search: one type for each, in the order in which they may occur.

A listener is called with every event. A line of JSON holds ``event.kind`` and
``event.values()``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # the command line's help needs no numpy
    from slimtune.results.store.record import TrialRecord


@dataclass(frozen=True)
class Event:
    """Something that happened in a search; the type says what."""

    kind: ClassVar[str]

    def values(self) -> dict[str, Any]:
        """Return the values of the JSON line, by name: the attributes, unless overridden."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


Listener = Callable[[Event], None]


def ignore_events(event: Event) -> None:
    """Ignore an event: the default listener."""


@dataclass(frozen=True)
class Decoding(Event):
    """``images`` of ``of`` images are decoded."""

    kind = "decoding"
    images: int
    of: int


@dataclass(frozen=True)
class WorkloadReady(Event):
    """Data and network are loaded; the facts of the search."""

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
        """Return all measurements."""
        return dict(self.measured)


@dataclass(frozen=True)
class TeacherMeasured(Event):
    """A teacher other than the baseline was measured: the objectives, and its test accuracy."""

    kind = "teacher"
    measured: Mapping[str, Any]
    model: str | None

    def values(self) -> dict[str, Any]:
        """Return all measurements, and the model."""
        return {**self.measured, "model": self.model}


@dataclass(frozen=True)
class Warned(Event):
    """The user should know of something unexpected."""

    kind = "warning"
    text: str


@dataclass(frozen=True)
class LimitsSet(Event):
    """The limits, resolved and as the user wrote them; with the previous ones, if they changed.

    ``stopped`` are trials that tighter limits had stopped; they stay stopped.
    """

    kind = "limits"
    limits: Mapping[str, float]
    asked: Mapping[str, str]
    before: Mapping[str, float] | None = None
    asked_before: Mapping[str, str] | None = None
    stopped: tuple[int, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether a resumed run has other limits than before."""
        return self.before is not None

    def values(self) -> dict[str, Any]:
        """Return the limits, and the previous ones only if they differ."""
        values = super().values()
        names = list(values) if self.changed else ["limits", "asked"]
        return {name: values[name] for name in names}


@dataclass(frozen=True)
class Resumed(Event):
    """A run is resumed: its finished trials, how many run again, how many there will be in all."""

    kind = "resumed"
    records: "tuple[TrialRecord, ...]"
    again: int
    total: int


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial starts; ``pipeline`` is its recipe in a few words."""

    kind = "started"
    number: int
    pipeline: str


@dataclass(frozen=True)
class PhaseEntered(Event):
    """A running trial has entered a phase. May come from another thread."""

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
    """A signal came: running trials have ``grace`` seconds to end. Comes from another thread."""

    kind = "stopping"
    grace: float


@dataclass(frozen=True)
class Stuck(Event):
    """The search was interrupted but does not end. Comes from another thread."""

    kind = "stuck"


@dataclass(frozen=True)
class SearchStopped(Event):
    """The search ends before its last trial, for ``reason``."""

    kind = "stopped"
    reason: str


@dataclass(frozen=True)
class Fruitless(Event):
    """All trials have ended and none is complete; ``reason`` is of the first."""

    kind = "fruitless"
    reason: str | None


@dataclass(frozen=True)
class FinalsPlanned(Event):
    """The front's ``members`` run again, ``repeats`` times, for ``epochs`` (``cheap`` before)."""

    kind = "finals"
    members: int
    repeats: int
    epochs: int
    cheap: int
    finished: int
    total: int


@dataclass(frozen=True)
class FinalStarted(Event):
    """A final starts: its trial, its repeat from 0, its name, and its recipe in a few words."""

    kind = "final_started"
    trial: int
    repeat: int
    name: str
    pipeline: str


@dataclass(frozen=True)
class FinalFinished(Event):
    """A final is in the run folder; ``finished`` of ``total`` are."""

    kind = "final_finished"
    trial: int
    repeat: int
    name: str
    finished: int
    total: int
    record: "TrialRecord"


@dataclass(frozen=True)
class FinalsMeasured(Event):
    """The finals were measured; ``left`` are the trials that left the front by it."""

    kind = "finals_measured"
    left: tuple[int, ...]


@dataclass(frozen=True)
class LimitsMissed(Event):
    """No trial is within the limits; ``text`` says which came closest."""

    kind = "missed"
    text: str


@dataclass(frozen=True)
class FrontMeasured(Event):
    """The front is measured; ``share`` is its part of the largest possible hypervolume."""

    kind = "final"
    hypervolume: float
    share: float
    members: int


@dataclass(frozen=True)
class ReportWritten(Event):
    """The report has been written."""

    kind = "report"
    path: str
