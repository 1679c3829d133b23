"""A search with its run folder: the object that all its steps share."""

from dataclasses import dataclass

from slimtune.results.store.folder import RunFolder
from slimtune.search.executors.own_work import with_own_code
from slimtune.search.executors.run_all import run_all
from slimtune.search.listeners.events import Listener, Warned
from slimtune.search.proposing.budget import Budget
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Work
from slimtune.search.trial.driver import Driver, Relay
from slimtune.search.trial.spec import TrialSpec
from slimtune.search.underway.interrupts import Interrupts
from slimtune.workload.types import Workload


@dataclass(frozen=True)
class OpenSearch:
    """A search that writes to its run folder.

    Attributes:
        config: of the search, with the changes of a resume.
        folder: of the run, whose lock this process holds.
        workload: data and trained baseline.
        listener: receives the events.
        interrupts: whether a signal has asked the search to end.
        budget: when the search ends before its last trial.
    """

    config: SearchConfig
    folder: RunFolder
    workload: Workload
    listener: Listener
    interrupts: Interrupts
    budget: Budget

    def warn(self, text: str) -> None:
        """Report a warning to the listener."""
        self.listener(Warned(text))

    def execute(self, work: Work, driver: Driver) -> None:
        """Run a driver's trials on the config's executor, until they end or a signal comes.

        Args:
            work: the body of a trial.
            driver: supplies the trials.

        Raises:
            KeyboardInterrupt: a signal came; no trial is running any more.
            SlimtuneError: Ray cannot be started, or breaks down.
        """
        stoppable = _Stoppable(driver, self.interrupts)
        with self.interrupts.patient():
            work = with_own_code(work, self.config)
            run_all(self.config, work, self.workload, stoppable, warn=self.warn)


class _Stoppable(Relay):
    """Supplies no more trials once a signal has come."""

    def __init__(self, driver: Driver, interrupts: Interrupts) -> None:
        super().__init__(driver)
        self._interrupts = interrupts

    def ask(self) -> TrialSpec | None:
        return None if self.stopping else super().ask()

    @property
    def stopping(self) -> bool:
        return self._interrupts.requested
