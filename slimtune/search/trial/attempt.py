"""Runs the body of a trial so that its own errors become an outcome, in every executor alike."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slimtune.compression.training.pauses import never
from slimtune.errors import SlimtuneError, in_one_line
from slimtune.measurement.latency import Latency, measure_latency
from slimtune.search.trial.spec import Outcome, TrialSpec

Judge = Callable[[Outcome], str]
"""Return why a trial must end at the rung where it stands; empty if it may continue.

It is given the trial as an outcome with the status ``"stopped"``: ``rung`` names the rung, and
``objectives`` holds what is known there.
"""

FetchEntry = Callable[[str], Mapping[str, bytes] | None]
"""Return the files that the run's stage store holds under a key; None if it holds none."""


def no_judge(_outcome: Outcome) -> str:
    """Stop no trial: the default judge, with which nothing is measured on the way."""
    return ""


def no_entry(_key: str) -> None:
    """Return nothing: the default, where trials share no stages."""


def ignore_phase(_phase: str) -> None:
    """Ignore that a phase begins: the default of ``tell_phase``."""


@dataclass(frozen=True)
class Aids:
    """What an executor lends to a running trial.

    Attributes:
        judge: decides at each rung whether the trial continues.
        fetch_entry: reads the run's stage store.
        measure_latency: as `measure_latency`; on a cluster it runs on the reference host.
        tell_phase: called with the name of each phase that the trial enters.
        pause: called between two batches; returns when the trial may go on.
    """

    judge: Judge = no_judge
    fetch_entry: FetchEntry = no_entry
    measure_latency: Callable[..., list[Latency]] = measure_latency
    tell_phase: Callable[[str], None] = ignore_phase
    pause: Callable[[], None] = never


Work = Callable[[Any, TrialSpec, Aids], Outcome]
"""The body of a trial: from the shared inputs, a spec and the executor's aids to an outcome."""


@dataclass(frozen=True)
class AtPhase:
    """A running trial has entered a phase.

    Attributes:
        number: of the trial.
        phase: what it does now: a stage of its recipe, or another step, such as ``"export"``.
    """

    number: int
    phase: str


def attempt(work: Work, shared: Any, spec: TrialSpec, aids: Aids) -> Outcome:
    """Return what ``work`` returns, or a failed outcome if it raises.

    A trial that raised is not tried again, because the same seed raises the same exception. Only
    a trial whose process died is. The traceback goes into the file ``error.txt``.

    Args:
        work: the body of the trial.
        shared: the inputs that all trials share.
        spec: of the trial.
        aids: what the executor lends.
    """
    try:
        return work(shared, spec, aids)
    except (Exception, SystemExit) as error:  # code of the user's own may call sys.exit
        ours = isinstance(error, SlimtuneError) and str(error)
        return Outcome(
            number=spec.number,
            status="failed",
            files={"error.txt": traceback.format_exc().encode()},
            reason=str(error).splitlines()[0] if ours else in_one_line(error),
        )
