import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import TrialTimeoutError
from slimtune.search.executors.inline import InlineExecutor
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.process import timeouts
from slimtune.search.trial.process.timeouts import TimeLimited, alarm, with_time_limit
from slimtune.search.trial.spec import Outcome, TrialSpec


@pytest.fixture(autouse=True)
def same_handler_afterwards():
    before = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getsignal(signal.SIGALRM) == before


def outcome(shared, spec, aids):
    return Outcome(spec.number, "complete")


def hang(shared, spec, aids):
    if spec.number == 1:
        time.sleep(60)
    return outcome(shared, spec, aids)


def test_a_trial_that_takes_too_long_fails_and_the_search_goes_on():
    driver = SpecList(TrialSpec(n, {}, Conditions(0)) for n in range(3))
    InlineExecutor(timeout=0.2).run(hang, None, driver)
    told = driver.outcomes
    assert [(one.number, one.status) for one in told] == [
        (0, "complete"),
        (1, "failed"),
        (2, "complete"),
    ]
    assert told[1].reason == "timeout after 0.2 s"
    assert b"in hang" in told[1].files["error.txt"]


def test_a_block_in_time_is_left_alone():
    with alarm(0.05):
        pass
    time.sleep(0.1)


def test_code_that_swallows_the_error_meets_it_again(monkeypatch):
    monkeypatch.setattr(timeouts, "REPEAT_SECONDS", 0.05)
    swallowed = 0
    with pytest.raises(TrialTimeoutError), alarm(0.05):
        for _ in range(2):
            try:
                time.sleep(60)
            except Exception:
                swallowed += 1
        time.sleep(60)
    assert swallowed == 2


def test_an_alarm_that_was_set_before_still_rings():
    rung = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with alarm(60):
            assert not rung
        while not rung:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, handler)


def in_a_thread(work):
    """Return what ``work`` made or raised in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(work).result()
        except TrialTimeoutError as error:
            return str(error)


def test_outside_the_main_thread_an_alarm_rings_between_two_steps_of_python():
    def endless():
        with alarm(0.05):
            while True:
                time.sleep(0.001)

    assert in_a_thread(endless) == "timeout after 0.05 s"


def test_outside_the_main_thread_a_block_in_time_is_left_alone():
    def short():
        with alarm(0.02):
            pass
        for _ in range(50):
            time.sleep(0.001)
        return "whole"

    assert in_a_thread(short) == "whole"


def test_without_a_limit_the_work_is_itself():
    assert with_time_limit(outcome, None) is outcome
    assert with_time_limit(outcome, 1.0) == TimeLimited(outcome, 1.0)
