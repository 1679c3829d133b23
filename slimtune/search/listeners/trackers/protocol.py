"""The protocol of trackers, which receive every finished trial in the driver's process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from slimtune.errors import UserError
from slimtune.registry import Registry


@dataclass(frozen=True)
class TrialLog:
    """One finished trial in the flat form that trackers take.

    Attributes:
        name: such as ``"trial-0017"``.
        status: "complete", "failed" or "stopped".
        pipeline: in a few words.
        params: the recipe, dotted name -> number or word, and the seed.
        metrics: objectives, other measured numbers, and seconds by phase.
        epochs: of fine-tuning, in their order: name -> number.
        reason: why it failed or was stopped; empty if it is complete.
    """

    name: str
    status: str
    pipeline: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    epochs: tuple[Mapping[str, float], ...] = field(default_factory=tuple)
    reason: str = ""


class Tracker(Protocol):
    """Records finished trials in another program."""

    def log(self, trial: TrialLog) -> None:
        """Record one trial. After an exception, the search continues without the tracker."""
        ...


@dataclass(frozen=True)
class TrackerKind:
    """How a tracker is opened.

    Attributes:
        open: makes the tracker of a run, given its folder.
        module: that must be importable.
        package: the name of its package for pip.
    """

    open: Callable[[Path], Tracker]
    module: str
    package: str


TRACKERS: Registry[TrackerKind] = Registry("tracker")


def check_installed(names: tuple[str, ...]) -> None:
    """Check that every tracker can be imported, before anything is trained.

    Raises:
        UserError: a package is missing; the message says how to install it.
        UnknownNameError: no such tracker.
    """
    for name in names:
        kind = TRACKERS[name]
        if find_spec(kind.module) is None:
            raise UserError(
                f"log_to: {name} needs the package {kind.package}, which is not installed; "
                f"pip install {kind.package}, or leave {name} out"
            )
