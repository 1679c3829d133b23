from slimtune.search.trial.attempt import no_entry, no_judge
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.spec import Outcome, TrialSpec


class Least(Driver):
    """What every driver must do, and nothing else."""

    def ask(self) -> TrialSpec | None:
        return None

    def tell(self, outcome: Outcome) -> None:
        raise AssertionError(outcome)


def test_a_driver_that_says_nothing_else_stops_no_trial_and_has_no_entry() -> None:
    driver = Least()
    assert driver.judge is no_judge  # which executors look for: judging costs a measurement
    assert driver.fetch_entry is no_entry
    assert driver.on_event(Outcome(1, "complete")) is None  # type: ignore[func-returns-value]
    assert driver.name_of(17) == "trial 17"
