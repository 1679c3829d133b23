"""The contract between an executor, which runs trials, and its driver, which supplies them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

from slimtune.search.trial.attempt import AtPhase, FetchEntry, Judge, Work, no_entry, no_judge
from slimtune.search.trial.spec import Outcome, TrialSpec


class Driver(ABC):
    """Supplies trials, and receives their outcomes.

    Executors call it in the process and thread that called `Executor.run`, with two exceptions:
    `fetch_entry` may run in another process, and phases may be reported from another thread.
    """

    @abstractmethod
    def ask(self) -> TrialSpec | None:
        """Return the next trial; None if there is none now."""

    @abstractmethod
    def tell(self, outcome: Outcome) -> None:
        """Receive the outcome of a trial that `ask` returned."""

    @property
    def judge(self) -> Judge:
        """Decides which trials end early; with `no_judge` none does, at no cost."""
        return no_judge

    @property
    def fetch_entry(self) -> FetchEntry:
        """Reads the run's stage store; it must pickle, because another process may call it."""
        return no_entry

    @property
    def stopping(self) -> bool:
        """Whether the search is ending, so that no trial may start a second time."""
        return False

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        """Receive news of a trial: its spec when it starts, its outcome after `tell`.

        Each phase that a trial enters is reported too, perhaps from another thread, and perhaps
        later than the trial's outcome.
        """
        return None

    def name_of(self, number: int) -> str:
        """Return what messages call the trial whose spec has this number."""
        return f"trial {number}"


class Relay(Driver):
    """A driver that passes every call on to another one; subclasses change some of them.

    Args:
        driver: that receives the calls.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def ask(self) -> TrialSpec | None:
        """Return the next trial."""
        return self._driver.ask()

    def tell(self, outcome: Outcome) -> None:
        """Pass an outcome on."""
        self._driver.tell(outcome)

    @property
    def judge(self) -> Judge:
        """The other driver's."""
        return self._driver.judge

    @property
    def fetch_entry(self) -> FetchEntry:
        """The other driver's."""
        return self._driver.fetch_entry

    @property
    def stopping(self) -> bool:
        """The other driver's."""
        return self._driver.stopping

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        """Pass news on."""
        self._driver.on_event(what)

    def name_of(self, number: int) -> str:
        """Return what the driver calls the trial."""
        return self._driver.name_of(number)


class Executor(Protocol):
    """Runs trials somewhere."""

    def run(self, work: Work, shared: Any, driver: Driver) -> None:
        """Run every trial that the driver supplies, and tell it each outcome once.

        Args:
            work: the body of a trial.
            shared: handed to ``work`` in every trial.
            driver: asked until it returns no more trials.

        Raises:
            KeyboardInterrupt: Ctrl-C. The driver has been told of every trial that had ended.
        """
        ...


class SpecList(Driver):
    """A driver that supplies the specs of a list and keeps their outcomes.

    Args:
        specs: in the order in which they are to start.

    Attributes:
        outcomes: in the order in which trials ended.
    """

    def __init__(self, specs: Iterable[TrialSpec]) -> None:
        self._specs = iter(specs)
        self.outcomes: list[Outcome] = []

    def ask(self) -> TrialSpec | None:
        """Return the next spec."""
        return next(self._specs, None)

    def tell(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.outcomes.append(outcome)
