import pytest

from slimtune.conditions import Conditions
from slimtune.search.executors.inline import InlineExecutor
from slimtune.search.trial.attempt import AtPhase
from slimtune.search.trial.spec import Outcome, TrialSpec
from tests.search.recording import Recording


def recording(trials):
    return Recording(TrialSpec(n, {"x": n}, Conditions(seed=n)) for n in range(trials))


def double(shared, spec, aids):
    return Outcome(spec.number, "complete", {"y": shared * spec.recipe["x"]})


def test_each_outcome_is_told_before_the_next_ask():
    driver = recording(2)
    InlineExecutor().run(double, 2.0, driver)
    of_one = ["ask", "start", "tell", "finish"]
    assert driver.log == [(name, n) for n in (0, 1) for name in of_one] + [("ask", None)]
    assert [outcome.objectives["y"] for outcome in driver.outcomes] == [0.0, 2.0]


def test_a_failing_trial_is_told_and_the_search_goes_on():
    def work(shared, spec, aids):
        if spec.number == 0:
            raise RuntimeError("no")
        return double(shared, spec, aids)

    driver = recording(2)
    InlineExecutor().run(work, 1.0, driver)
    assert [outcome.status for outcome in driver.outcomes] == ["failed", "complete"]


def test_an_interrupt_leaves_the_trial_at_work_untold_and_asks_no_more():
    def work(shared, spec, aids):
        if spec.number == 1:
            raise KeyboardInterrupt
        return double(shared, spec, aids)

    driver = recording(3)
    with pytest.raises(KeyboardInterrupt):
        InlineExecutor().run(work, 1.0, driver)
    assert [name for name, n in driver.log if n == 0] == ["ask", "start", "tell", "finish"]
    assert driver.log[4:] == [("ask", 1), ("start", 1)]


def test_an_error_of_tell_ends_the_search():
    def tell(outcome):
        raise OSError("disk full")

    driver = recording(3)
    driver.tell = tell
    with pytest.raises(OSError, match="disk full"):
        InlineExecutor().run(double, 1.0, driver)
    assert driver.log == [("ask", 0), ("start", 0)]


def test_the_phases_of_a_trial_are_told_while_it_runs():
    heard = []

    def work(shared, spec, aids):
        aids.tell_phase("prune")
        aids.tell_phase("measure")
        return double(shared, spec, aids)

    driver = recording(1)
    driver.on_event = heard.append
    InlineExecutor().run(work, 2.0, driver)
    assert [type(what) for what in heard] == [TrialSpec, AtPhase, AtPhase, Outcome]
    assert heard[1:3] == [AtPhase(0, "prune"), AtPhase(0, "measure")]


def test_a_judge_and_a_store_are_lent_to_every_trial():
    def work(shared, spec, aids):
        ends = aids.judge(Outcome(spec.number, "stopped"))
        return Outcome(spec.number, "complete", reason=ends, payload=aids.fetch_entry("key"))

    driver = recording(1)
    driver.judge, driver.fetch_entry = lambda outcome: "slow", lambda key: {key: b"x"}
    InlineExecutor().run(work, None, driver)
    assert driver.outcomes == [Outcome(0, "complete", reason="slow", payload={"key": b"x"})]
