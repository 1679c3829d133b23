"""Run one trial so that its own errors become an outcome, in every executor alike."""

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
"""Return the files that the run's stage store keeps under a key, or None."""


def no_judge(_outcome: Outcome) -> str:
    """Stop no trial: the default judge, with which nothing is measured on the way."""
    return ""


def no_entry(_key: str) -> None:
    """Return nothing: the default, where trials share no stages."""


def ignore_phase(_phase: str) -> None:
    """Ignore that a phase begins: the default of ``tell_phase``."""


@dataclass(frozen=True)
class Aids:
    """What an executor lends to a trial at work.

    Attributes:
        judge: decides whether the trial goes on.
        fetch_entry: looks into the run's stage store.
        measure_latency: as `measure_latency`, perhaps on the one host that measures for all.
        tell_phase: called with the name of each phase that the trial enters.
        pause: called between two batches; returns when the trial may go on.
    """

    judge: Judge = no_judge
    fetch_entry: FetchEntry = no_entry
    measure_latency: Callable[..., list[Latency]] = measure_latency
    tell_phase: Callable[[str], None] = ignore_phase
    pause: Callable[[], None] = never


Work = Callable[[Any, TrialSpec, Aids], Outcome]
"""Turn (the shared inputs, a spec, the executor's aids) into an outcome: the body of a trial."""


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
    """Return what ``work`` makes, or a failed outcome when it raises.

    An exception here repeats with the same seed, so it is no reason to try again: only the
    death of a process is. The traceback goes into the file ``error.txt``.
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
