"""A search whose run folder is there, and what all its steps need."""

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
    """A search at work on its run folder.

    Attributes:
        config: of the search as it goes on.
        folder: of the run, whose lock this process holds.
        workload: data and trained baseline.
        listener: told of what happens.
        interrupts: say whether it shall end.
        budget: says when it has had enough.
    """

    config: SearchConfig
    folder: RunFolder
    workload: Workload
    listener: Listener
    interrupts: Interrupts
    budget: Budget

    def warn(self, text: str) -> None:
        """Tell a warning."""
        self.listener(Warned(text))

    def execute(self, work: Work, driver: Driver) -> None:
        """Run what a driver hands out on the config's executor, until it ends or a signal comes.

        Raises:
            KeyboardInterrupt: a signal came; no trial is at work any more.
            SlimtuneError: Ray cannot be started, or breaks down.
        """
        stoppable = _Stoppable(driver, self.interrupts)
        with self.interrupts.patient():
            work = with_own_code(work, self.config)
            run_all(self.config, work, self.workload, stoppable, warn=self.warn)


class _Stoppable(Relay):
    """Hands out no more trials once a signal came."""

    def __init__(self, driver: Driver, interrupts: Interrupts) -> None:
        super().__init__(driver)
        self._interrupts = interrupts

    def ask(self) -> TrialSpec | None:
        return None if self.stopping else super().ask()

    @property
    def stopping(self) -> bool:
        return self._interrupts.requested
