"""A driver that tests look into."""

from collections.abc import Iterable

from slimtune.search.trial.attempt import AtStage, FetchStage, Judge, go_on, no_stage
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec

NAMES = {TrialSpec: "start", Outcome: "finish", AtStage: "stage"}


class Recording(SpecList):
    """Hands out a list of specs, and writes down the order of everything in ``log``."""

    judge: Judge = staticmethod(go_on)
    fetch_stage: FetchStage = staticmethod(no_stage)

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

    def on_event(self, what: TrialSpec | Outcome | AtStage) -> None:
        self.log.append((NAMES[type(what)], what.number))
