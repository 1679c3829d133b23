import pytest

from slimtune.conditions import Conditions
from slimtune.search.trial.attempt import Aids, attempt
from slimtune.search.trial.spec import TrialSpec

SPEC = TrialSpec(number=4, recipe={}, conditions=Conditions(seed=0))


def test_an_exception_becomes_a_failed_outcome_with_its_traceback():
    def work(shared, spec, aids):
        raise ValueError("first line\nsecond line")

    outcome = attempt(work, None, SPEC, Aids())
    assert (outcome.number, outcome.status, outcome.reason) == (
        4,
        "failed",
        "ValueError: first line",
    )
    assert b"second line" in outcome.files["error.txt"]
    assert b"in work" in outcome.files["error.txt"]


def test_an_exception_without_a_message_still_names_its_class():
    def work(shared, spec, aids):
        raise MemoryError

    assert attempt(work, None, SPEC, Aids()).reason == "MemoryError"


def test_code_that_calls_sys_exit_is_a_failed_outcome_and_no_dead_worker():
    def work(shared, spec, aids):
        raise SystemExit(3)

    assert attempt(work, None, SPEC, Aids()).reason == "SystemExit: 3"


def test_an_interrupt_is_not_an_outcome():
    def work(shared, spec, aids):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(work, None, SPEC, Aids())
