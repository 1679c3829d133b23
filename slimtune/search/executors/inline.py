"""Run the trials in this process, one after another: no Ray, and breakpoints work."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slimtune.search.trial.attempt import Aids, AtStage, OnEvent, Work, attempt, ignore_event
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.timeouts import timed


def run_inline(
    work: Work,
    shared: Any,
    ask: Callable[[], TrialSpec | None],
    tell: Callable[[Outcome], None],
    *,
    aids: Aids | None = None,
    timeout: float | None = None,
    on_event: OnEvent = ignore_event,
) -> None:
    """Run every trial that ``ask`` hands out; each outcome is told before the next ask.

    Args:
        work: the body of a trial.
        shared: handed to ``work`` as it is.
        ask: the next trial, or None when there are no more.
        tell: receives each outcome once.
        aids: lent to every trial.
        timeout: seconds that a trial may take; one that hangs in native code is not ended.
        on_event: told of ``("start", spec)``, of ``("stage", at_stage)`` and, after ``tell``, of
            ``("finish", outcome)``.

    Raises:
        KeyboardInterrupt: Ctrl-C. The trial at work is not told; all before it have been.
    """
    aids = aids or Aids()
    work = timed(work, timeout)
    while (spec := ask()) is not None:
        on_event("start", spec)
        outcome = attempt(work, shared, spec, replace(aids, tell_stage=_teller(spec, on_event)))
        tell(outcome)
        on_event("finish", outcome)


def _teller(spec: TrialSpec, on_event: OnEvent) -> Callable[[str], None]:
    return lambda stage: on_event("stage", AtStage(spec.number, stage))
