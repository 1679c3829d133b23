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
"""Shown a trial as it stands, says why it should end there, or nothing if it should not.

The outcome's status is ``"stopped"``, its ``rung`` says how far the trial has come, and its
objectives hold what is known there.
"""

FetchStage = Callable[[str], Mapping[str, bytes] | None]
"""Return the files that the run's stage store keeps under a key, or None."""


def go_on(_outcome: Outcome) -> str:
    """Stop no trial: the default judge."""
    return ""


def no_stage(_key: str) -> None:
    """Know no stage: the default store."""


def tell_nobody(_stage: str) -> None:
    """Tell nobody: the default of ``tell_stage``."""


@dataclass(frozen=True)
class Aids:
    """What an executor lends to a trial at work.

    Attributes:
        judge: decides whether the trial goes on.
        fetch_stage: looks into the run's stage store.
        measure_latency: as `measure_latency`, perhaps on the one host that measures for all.
        tell_stage: told the name of each stage that the trial enters, for those who watch.
        pause: called between two batches; returns when the trial may go on.
    """

    judge: Judge = go_on
    fetch_stage: FetchStage = no_stage
    measure_latency: Callable[..., list[Latency]] = measure_latency
    tell_stage: Callable[[str], None] = tell_nobody
    pause: Callable[[], None] = never


Work = Callable[[Any, TrialSpec, Aids], Outcome]
"""Turn (the shared inputs, a spec, the executor's aids) into an outcome: the body of a trial."""


@dataclass(frozen=True)
class AtStage:
    """A running trial, and the stage that it has entered."""

    number: int
    stage: str


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
