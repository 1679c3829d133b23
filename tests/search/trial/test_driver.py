from slimtune.search.trial.attempt import go_on, no_stage
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.spec import Outcome, TrialSpec


class Least(Driver):
    """What every driver must do, and nothing else."""

    def ask(self) -> TrialSpec | None:
        return None

    def tell(self, outcome: Outcome) -> None:
        raise AssertionError(outcome)


def test_a_driver_that_says_nothing_else_stops_no_trial_and_knows_no_stage() -> None:
    driver = Least()
    assert driver.judge is go_on  # which executors look for: judging costs a measurement
    assert driver.fetch_stage is no_stage
    assert driver.on_event(Outcome(1, "complete")) is None  # type: ignore[func-returns-value]
    assert driver.name_of(17) == "trial 17"
