import signal
import threading
import time

import pytest

from slimtune.search.underway.interrupts import Interrupts


@pytest.fixture(autouse=True)
def same_handlers_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_block_end_and_is_raised_then(number):
    told, steps = [], []
    with pytest.raises(KeyboardInterrupt), Interrupts(told.append, grace=60.0) as interrupts:
        with interrupts.patient():
            assert not interrupts.requested
            signal.raise_signal(number)
            assert interrupts.requested
            steps.append("the running trial ends")
            while not told:
                time.sleep(0.01)
        steps.append("never")
    assert steps == ["the running trial ends"]
    assert told == [60.0]


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_interrupts_at_once(second):
    with pytest.raises(KeyboardInterrupt), Interrupts(lambda grace: None, grace=60.0) as i:
        with i.patient():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(second)
            pytest.fail("still there")


def test_a_trial_that_outlasts_the_grace_period_is_interrupted():
    with pytest.raises(KeyboardInterrupt), Interrupts(lambda grace: None, grace=0.05) as i:
        with i.patient():
            signal.raise_signal(signal.SIGINT)
            time.sleep(60)
            pytest.fail("still there")


def test_an_interrupt_that_got_lost_is_repeated():
    caught = 0
    with pytest.raises(KeyboardInterrupt), Interrupts(lambda grace: None, grace=0.05) as i:
        with i.patient():
            signal.raise_signal(signal.SIGINT)
            for _ in range(2):
                try:
                    time.sleep(60)
                except KeyboardInterrupt:
                    caught += 1
    assert caught == 2


def test_a_block_that_heeds_no_interrupt_is_told_to_be_stuck_once():
    told = []
    with pytest.raises(KeyboardInterrupt):
        with Interrupts(lambda grace: None, 0.05, lambda: told.append("stuck")) as i:
            with i.patient():
                signal.raise_signal(signal.SIGINT)
                while len(told) < 4:
                    try:
                        time.sleep(60)
                    except KeyboardInterrupt:
                        told.append("unheeded")
    assert told == ["unheeded", "unheeded", "stuck", "unheeded"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_nothing_can_be_finished_the_first_signal_interrupts(number):
    with pytest.raises(KeyboardInterrupt), Interrupts(lambda grace: None):
        signal.raise_signal(number)


def test_without_a_signal_nothing_is_raised_and_an_error_passes():
    with Interrupts(lambda grace: None) as interrupts, interrupts.patient():
        pass
    with pytest.raises(OSError), Interrupts(lambda grace: None) as i, i.patient():
        raise OSError


def test_outside_the_main_thread_signals_are_left_alone():
    seen = []

    def search():
        with Interrupts(lambda grace: None) as interrupts, interrupts.patient():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_second_block_is_as_patient_as_the_first():
    steps = []
    with pytest.raises(KeyboardInterrupt), Interrupts(lambda grace: None, grace=0.05) as i:
        with i.patient():
            steps.append("trials")
        with i.patient():
            signal.raise_signal(signal.SIGINT)
            steps.append("a final ends")
            time.sleep(60)
            pytest.fail("still there")
    assert steps == ["trials", "a final ends"]
