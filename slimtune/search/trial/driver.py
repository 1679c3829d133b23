"""The contract between an executor, which runs trials, and its driver, which hands them out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

from slimtune.search.trial.attempt import AtPhase, FetchEntry, Judge, Work, no_entry, no_judge
from slimtune.search.trial.spec import Outcome, TrialSpec


class Driver(ABC):
    """Hands out trials, and hears what became of them.

    All but `fetch_entry` is called in the process and thread that called `Executor.run`; stages
    may be heard of from another thread.
    """

    @abstractmethod
    def ask(self) -> TrialSpec | None:
        """Return the next trial, or None when there are no more now."""

    @abstractmethod
    def tell(self, outcome: Outcome) -> None:
        """Take the outcome of a trial that was asked for."""

    @property
    def judge(self) -> Judge:
        """Decides which trials end early; `no_judge` if none shall, which costs nothing."""
        return no_judge

    @property
    def fetch_entry(self) -> FetchEntry:
        """Looks into the run's stage store, perhaps in another process: it must pickle."""
        return no_entry

    @property
    def stopping(self) -> bool:
        """Whether no trial that was handed out may be begun once more."""
        return False

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        """Hear of a trial that starts (its spec), and of one that was told (its outcome).

        Also of each stage that one enters, perhaps from another thread, and perhaps after its
        outcome.
        """
        return None

    def name_of(self, number: int) -> str:
        """Return what the trial of the spec with this number is called when users hear of it."""
        return f"trial {number}"


class Relay(Driver):
    """Stands between an executor and a driver, and passes everything on.

    Args:
        driver: that stands behind.
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
        """The driver's."""
        return self._driver.judge

    @property
    def fetch_entry(self) -> FetchEntry:
        """The driver's."""
        return self._driver.fetch_entry

    @property
    def stopping(self) -> bool:
        """The driver's."""
        return self._driver.stopping

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        """Pass on what happens."""
        self._driver.on_event(what)

    def name_of(self, number: int) -> str:
        """Return what the driver calls the trial."""
        return self._driver.name_of(number)


class Executor(Protocol):
    """Runs trials somewhere."""

    def run(self, work: Work, shared: Any, driver: Driver) -> None:
        """Run every trial that the driver hands out, and tell it of each outcome once.

        Args:
            work: the body of a trial.
            shared: handed to ``work`` in every trial.
            driver: asked until it has no more.

        Raises:
            KeyboardInterrupt: Ctrl-C. What had finished has been told.
        """
        ...


class SpecList(Driver):
    """Hands out the specs of a list, and keeps their outcomes.

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
