"""What Ray Tune is given in place of its own: who ends trials, and what it shows."""

from collections.abc import Callable
from typing import Any

from ray.tune import ProgressReporter
from ray.tune.schedulers import FIFOScheduler

REPORT = "report"
"""Key of a Tune result that names what a trial has left in the mailbox for its judge."""


class JudgingScheduler(FIFOScheduler):
    """Runs trials in the order they come, and ends those that ``ends`` says shall end.

    Args:
        ends: called with Tune's id of a trial and the name of its report.
    """

    def __init__(self, ends: Callable[[str, str], bool]) -> None:
        super().__init__()
        self._ends = ends

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return Tune's word for what becomes of the trial that reports."""
        report = result.get(REPORT)
        ends = report is not None and self._ends(trial.trial_id, report)
        return str(self.STOP if ends else self.CONTINUE)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing, as the searcher does: Tune's snapshots are never read."""
        return {}


class SilentReporter(ProgressReporter):
    """Shows nothing. In a notebook, Tune's own would wipe the output of the cell."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        """Return that there is nothing to report."""
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        """Report nothing."""
