import pytest

from slimtune.conditions import Conditions
from slimtune.search.executors.inline import run_inline
from slimtune.search.trial.attempt import AtStage
from slimtune.search.trial.spec import Outcome, TrialSpec


class Driver:
    """A scripted ask and a tell that write down the order of everything."""

    def __init__(self, trials):
        self.specs = [
            TrialSpec(number=n, recipe={"x": n}, conditions=Conditions(seed=n))
            for n in range(trials)
        ]
        self.log = []
        self.outcomes = []

    def ask(self):
        spec = self.specs.pop(0) if self.specs else None
        self.log.append(("ask", None if spec is None else spec.number))
        return spec

    def tell(self, outcome):
        self.log.append(("tell", outcome.number))
        self.outcomes.append(outcome)

    def on_event(self, name, what):
        self.log.append((name, what.number))


def double(shared, spec, aids):
    return Outcome(spec.number, "complete", {"y": shared * spec.recipe["x"]})


def test_each_outcome_is_told_before_the_next_ask():
    driver = Driver(2)
    run_inline(double, 2.0, driver.ask, driver.tell, on_event=driver.on_event)
    of_one = ["ask", "start", "tell", "finish"]
    assert driver.log == [(name, n) for n in (0, 1) for name in of_one] + [("ask", None)]
    assert [outcome.objectives["y"] for outcome in driver.outcomes] == [0.0, 2.0]


def test_a_failing_trial_is_told_and_the_search_goes_on():
    def work(shared, spec, aids):
        if spec.number == 0:
            raise RuntimeError("no")
        return double(shared, spec, aids)

    driver = Driver(2)
    run_inline(work, 1.0, driver.ask, driver.tell)
    assert [outcome.status for outcome in driver.outcomes] == ["failed", "complete"]


def test_an_interrupt_leaves_the_trial_at_work_untold_and_asks_no_more():
    def work(shared, spec, aids):
        if spec.number == 1:
            raise KeyboardInterrupt
        return double(shared, spec, aids)

    driver = Driver(3)
    with pytest.raises(KeyboardInterrupt):
        run_inline(work, 1.0, driver.ask, driver.tell)
    assert driver.log == [("ask", 0), ("tell", 0), ("ask", 1)]


def test_an_error_of_tell_ends_the_search():
    def tell(outcome):
        raise OSError("disk full")

    driver = Driver(3)
    with pytest.raises(OSError, match="disk full"):
        run_inline(double, 1.0, driver.ask, tell)
    assert driver.log == [("ask", 0)]


def test_the_stages_of_a_trial_are_told_while_it_runs():
    heard = []

    def work(shared, spec, aids):
        aids.tell_stage("prune")
        aids.tell_stage("measure")
        return double(shared, spec, aids)

    driver = Driver(1)
    run_inline(
        work, 2.0, driver.ask, driver.tell, on_event=lambda name, what: heard.append((name, what))
    )
    assert [name for name, _ in heard] == ["start", "stage", "stage", "finish"]
    assert [what for name, what in heard if name == "stage"] == [
        AtStage(0, "prune"), AtStage(0, "measure"),
    ]  # fmt: skip
