"""A scheduler that lets a judge end trials, and a silent reporter, for Ray Tune."""

from collections.abc import Callable
from typing import Any

from ray.tune import ProgressReporter
from ray.tune.schedulers import FIFOScheduler

REPORT = "report"
"""Key of a Tune result, whose value names a trial's report in the mailbox."""


class JudgingScheduler(FIFOScheduler):
    """Runs trials in the order in which they come, and stops those that ``ends`` selects.

    Args:
        ends: called with Tune's id of a trial and the name of its report; returns whether the
            trial ends there.
    """

    def __init__(self, ends: Callable[[str, str], bool]) -> None:
        super().__init__()
        self._ends = ends

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return Tune's decision for the trial that reports: stop or continue."""
        report = result.get(REPORT)
        ends = report is not None and self._ends(trial.trial_id, report)
        return str(self.STOP if ends else self.CONTINUE)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Tune saves its scheduler, but nothing ever reads it."""
        return {}


class SilentReporter(ProgressReporter):
    """Reports nothing. In a notebook, Tune's own reporter would clear the output of the cell."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        """Return False: there is never anything to report."""
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        """Report nothing."""
