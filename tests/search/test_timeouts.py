import signal
import threading
import time

import pytest

from slimtune.errors import ConfigError, TrialTimeoutError
from slimtune.search import timeouts
from slimtune.search.inline_executor import run_inline
from slimtune.search.spec import Outcome, TrialSpec
from slimtune.search.timeouts import Timed, alarm, check_alarm, timed


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
    specs = [TrialSpec(n, {}, 0) for n in range(3)]
    told = []
    run_inline(hang, None, lambda: specs.pop(0) if specs else None, told.append, timeout=0.2)
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


def test_outside_the_main_thread_nothing_rings_and_a_search_is_refused():
    seen = []

    def other():
        try:
            check_alarm()
        except ConfigError as error:
            seen.append(str(error))
        with alarm(0.01):
            time.sleep(0.05)
        seen.append("ended")

    check_alarm()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "only the main thread" in seen[0] and seen[1] == "ended"


def test_without_a_limit_the_work_is_itself():
    assert timed(outcome, None) is outcome
    assert timed(outcome, 1.0) == Timed(outcome, 1.0)
