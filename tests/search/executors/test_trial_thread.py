import threading

import pytest

from slimtune.search.executors.trial_thread import ENDED, TrialThread
from slimtune.search.trial.spec import Outcome


def test_a_trial_waits_at_each_question_until_it_may_go_on() -> None:
    done = []

    def run(judge):
        for step in range(2):
            done.append(step)
            assert judge(Outcome(step, "stopped")) == ""
        return Outcome(9, "complete")

    trial = TrialThread(run)
    assert trial.advance().number == 0 and not trial.over and done == [0]
    assert trial.advance().number == 1 and not trial.over and done == [0, 1]
    assert trial.advance().number == 9 and trial.over


def test_a_trial_that_is_ended_is_told_so_and_its_thread_is_gone() -> None:
    told = []

    def run(judge):
        told.append(judge(Outcome(0, "stopped")))
        return Outcome(0, "stopped")

    before = threading.active_count()
    trial = TrialThread(run)
    trial.advance()
    trial.end()
    assert told == [ENDED] and threading.active_count() == before


def test_ending_a_trial_that_never_began_or_is_over_does_nothing() -> None:
    trial = TrialThread(lambda judge: Outcome(0, "complete"))
    trial.end()
    trial.advance()
    trial.end()
    assert trial.over


def test_what_ends_the_thread_is_raised_to_who_waits() -> None:
    def run(judge):
        raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        TrialThread(run).advance()
