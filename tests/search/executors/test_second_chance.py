import pytest
import torch

from slimtune.conditions import Conditions
from slimtune.results.store.record import TrialRecord
from slimtune.search.executors.ray_tune import DIED
from slimtune.search.executors.second_chance import SecondChance, ran_out_of_memory
from slimtune.search.trial.attempt import Aids, attempt
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec


def failing(error):
    def work(shared, spec, aids):
        raise error

    return attempt(work, None, TrialSpec(3, {}, Conditions(0)), Aids())


def allocate_too_much():
    try:
        torch.empty(2**55)
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.cuda.OutOfMemoryError(""),
        RuntimeError("CUDA error: out of memory"),
        MemoryError(),
        allocate_too_much(),
    ],
)
def test_short_memory_is_known_by_what_the_error_says(error):
    assert ran_out_of_memory(failing(error))


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("a NaN in memory")])
def test_other_errors_are_not_about_memory(error):
    assert not ran_out_of_memory(failing(error))
    assert not ran_out_of_memory(Outcome(0, "complete", reason="out of memory"))


class Search(SpecList):
    """What stands behind a `SecondChance`: writes down what it is told."""

    def __init__(self):
        super().__init__([])
        self.log = []
        self.chance = SecondChance(self, lambda text: self.log.append(text))

    def tell(self, outcome):
        super().tell(outcome)
        self.log.append(("tell", outcome.number, outcome.status))

    def on_event(self, what):
        name = {TrialSpec: "start", Outcome: "finish"}.get(type(what), "phase")
        self.log.append((name, what.number))

    def run(self, outcome):
        """Do as an executor does with one trial."""
        self.chance.on_event(TrialSpec(outcome.number, {}, Conditions(0)))
        self.chance.tell(outcome)
        self.chance.on_event(outcome)


class Finals(SpecList):
    def name_of(self, number):
        return f"final 0017-e30-r{number}"


class Stopped(Search):
    stopping = True


def short(number):
    error = "OutOfMemoryError: CUDA out of memory"
    record = TrialRecord(
        number=number,
        status="failed",
        recipe={},
        pipeline="",
        conditions=Conditions(seed=0),
        error=error,
    )
    return Outcome(number, "failed", payload=record, reason=error)


def test_the_first_attempt_waits_untold_and_the_second_may_succeed():
    search = Search()
    search.run(short(4))
    assert search.log == [
        ("start", 4),
        "trial 4 runs again at the end, alone: OutOfMemoryError: CUDA out of memory",
    ]
    assert search.chance.has_waiting()
    assert search.chance.ask() is None  # the driver has no more, and this one waits
    search.chance.start_second_attempts()
    assert search.chance.ask() == TrialSpec(4, {}, Conditions(0))
    assert search.chance.ask() is None and not search.chance.has_waiting()
    search.run(Outcome(4, "complete"))
    assert search.log[2:] == [("start", 4), ("tell", 4, "complete"), ("finish", 4)]


def test_who_calls_it_says_what_its_trials_are_called():
    told = []
    chance = SecondChance(Finals([]), told.append)
    chance.on_event(TrialSpec(0, {}, Conditions(0)))
    chance.tell(short(0))
    assert told[0].startswith("final 0017-e30-r0 runs again at the end, alone: ")


def test_a_thread_may_tell_of_phases_while_another_keeps_a_trial():
    search = Search()
    search.run(short(4))

    class AtStageMeanwhile:
        """News of trial 9; whoever looks at its number is overtaken by another thread."""

        @property
        def number(self):
            if search.chance.has_waiting() and len(search.log) < 9:
                search.run(short(len(search.log) + 10))
            return 9

    search.chance.on_event(AtStageMeanwhile())
    assert ("phase", 9) in search.log


def test_the_second_time_is_final_and_says_so():
    search = Search()
    search.run(short(4))
    search.chance.start_second_attempts()
    search.chance.ask()
    search.run(short(4))
    assert not search.chance.has_waiting()
    (told,) = search.outcomes
    assert told.status == "failed"
    assert told.reason == told.payload.error
    assert told.reason.startswith("out of memory twice, the second time alone: OutOfMemoryError")


def test_other_failures_are_told_at_once():
    search = Search()
    search.run(Outcome(1, "failed", reason="ValueError: no"))
    assert search.log == [("start", 1), ("tell", 1, "failed"), ("finish", 1)]
    assert not search.chance.has_waiting()


def test_a_process_that_died_three_times_has_had_its_chances():
    assert not ran_out_of_memory(Outcome(0, "failed", reason=DIED))


def test_no_trial_gets_its_second_chance_in_a_search_that_stops():
    search = Stopped()
    search.run(short(4))
    search.chance.start_second_attempts()
    assert search.chance.ask() is None and search.chance.has_waiting()


def test_who_judges_and_where_entries_are_is_the_drivers_business():
    search = Search()
    assert search.chance.judge is search.judge
    assert search.chance.fetch_entry is search.fetch_entry
