from typing import Any

import pytest

from slimtune.conditions import Conditions
from slimtune.results.store.folder import RunFolder
from slimtune.search.proposing.budget import Budget
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Aids, AtPhase
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.underway.interrupts import Interrupts
from slimtune.search.underway.open_search import OpenSearch
from slimtune.workload.types import Workload


class Numbers(Driver):
    """Hands out trials without end; the search ends them."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.interrupts = interrupts
        self.asked = 0
        self.heard: list[Any] = []

    def ask(self) -> TrialSpec:
        self.asked += 1
        return TrialSpec(self.asked, {}, Conditions(seed=0))

    def tell(self, outcome: Outcome) -> None:
        self.heard.append(outcome.status)
        self.interrupts.requested = self.asked == 2  # as a signal does

    def on_event(self, what: TrialSpec | Outcome | AtPhase) -> None:
        self.heard.append(type(what).__name__)


def work(workload: Workload, spec: TrialSpec, aids: Aids) -> Outcome:
    return Outcome(spec.number, "complete", payload=len(workload.test))


def test_no_trial_starts_after_a_signal_and_then_the_search_ends(
    digits: Workload, digits_config: SearchConfig, tmp_path: Any
) -> None:
    interrupts = Interrupts(lambda _: None)
    config = digits_config.model_copy(update={"executor": "inline"})
    folder = RunFolder(tmp_path, {})
    search = OpenSearch(config, folder, digits, lambda *_: None, interrupts, Budget())
    driver = Numbers(interrupts)
    with pytest.raises(KeyboardInterrupt):
        search.execute(work, driver)
    assert driver.heard == ["TrialSpec", "complete", "Outcome"] * 2
