"""A search whose run folder is there, and what all its steps need."""

from dataclasses import dataclass

from slimtune.results.store.folder import RunFolder
from slimtune.search.executors.own_work import with_own_code
from slimtune.search.executors.run_all import run_all
from slimtune.search.listeners.events import Listener, Warned
from slimtune.search.proposing.budget import Budget
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Aids, Work
from slimtune.search.trial.driver import Driver
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

        def ask_unless_stopping() -> TrialSpec | None:
            return None if self.interrupts.requested else driver.ask()

        with self.interrupts.patient():
            run_all(
                self.config,
                with_own_code(work, self.config),
                self.workload,
                ask_unless_stopping,
                driver.tell,
                aids=Aids(judge=driver.judge, fetch_stage=driver.fetch_stage),
                on_event=lambda _name, what: driver.on_event(what),
                warn=self.warn,
                go_on=lambda: not self.interrupts.requested,
                called=driver.name_of,
            )
