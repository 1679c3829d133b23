"""A driver and a listener that record what they hear, for tests to look into."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slimtune.search.listeners.events import Event
from slimtune.search.trial.attempt import AtPhase, FetchEntry, Judge, no_entry, no_judge
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec

NAMES = {TrialSpec: "start", Outcome: "finish", AtPhase: "phase"}


class Recording(SpecList):
    """Hands out a list of specs, and writes down the order of everything in ``log``."""

    judge: Judge = staticmethod(no_judge)
    fetch_entry: FetchEntry = staticmethod(no_entry)

    def __init__(self, specs: Iterable[TrialSpec]) -> None:
        super().__init__(specs)
        self.log: list[tuple[str, int | None]] = []

    def ask(self) -> TrialSpec | None:
        spec = super().ask()
        self.log.append(("ask", None if spec is None else spec.number))
        return spec

    def tell(self, outcome: Outcome) -> None:
        self.log.append(("tell", outcome.number))
        super().tell(outcome)

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        self.log.append((NAMES[type(what)], what.number))


KindAndValues = tuple[str, Mapping[str, Any]]


def noting(events: list[KindAndValues]) -> Callable[[Event], None]:
    """Return a listener that appends each event to a list, as its kind and its values."""
    return lambda event: events.append((event.kind, event.values()))
