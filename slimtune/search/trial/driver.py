"""Who an executor works for: hands out trials, and hears what became of them."""

from abc import ABC, abstractmethod

from slimtune.search.trial.attempt import AtStage, FetchStage, Judge, go_on, no_stage
from slimtune.search.trial.spec import Outcome, TrialSpec


class Driver(ABC):
    """The one side of an executor's contract; all but `fetch_stage` is called in its process.

    An executor asks for trials until there are no more, runs each, and tells the driver of each
    outcome once. The trials are judged and look for stages on their way.
    """

    @abstractmethod
    def ask(self) -> TrialSpec | None:
        """Return the next trial, or None when there are no more now."""

    @abstractmethod
    def tell(self, outcome: Outcome) -> None:
        """Take the outcome of a trial that was asked for."""

    @property
    def judge(self) -> Judge:
        """Decides which trials end early; `go_on` if none shall, which costs nothing."""
        return go_on

    @property
    def fetch_stage(self) -> FetchStage:
        """Looks into the run's stage store, perhaps in another process: it must pickle."""
        return no_stage

    def on_event(self, what: TrialSpec | Outcome | AtStage) -> None:
        """Hear of a trial that starts (its spec), and of one that was told (its outcome).

        Also of each stage that one enters, perhaps from another thread, and perhaps after its
        outcome.
        """
        return None

    def name_of(self, number: int) -> str:
        """Return what the trial of the spec with this number is called when users hear of it."""
        return f"trial {number}"
