import ctypes
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from slimtune.conditions import Conditions
from slimtune.search.executors import deaths
from slimtune.search.executors.deaths import SHORT, Death, ProcessWatch, lost_words
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.executors.second_chance import ran_out_of_memory
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec

ROOT = Path(__file__).parents[3]


def hang(folder, spec, aids):
    with open(Path(folder, "attempts"), "a") as file:
        file.write(str(spec.number))
    if spec.number == 1:
        time.sleep(600)
    elif spec.number == 3:
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):  # waits for itself, in C, and holds Python's lock
            ctypes.PyDLL(None).pthread_mutex_lock(mutex)
    return Outcome(spec.number, "complete", payload=os.getpid())


@pytest.fixture(scope="module")
def hung(small_session, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hung")
    driver = SpecList(TrialSpec(n, {}, Conditions(0)) for n in range(5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deaths, "GRACE_SECONDS", 2.0)
        RayExecutor(concurrency=1, timeout=1.0).run(hang, str(folder), driver)
    return driver.outcomes, (folder / "attempts").read_text()


def test_a_trial_that_hangs_in_python_fails_and_its_process_goes_on(hung):
    told, _ = hung
    assert [one.status for one in told] == ["complete", "failed", "complete", "failed", "complete"]
    assert told[1].reason == "timeout after 1 s"
    assert b"in hang" in told[1].files["error.txt"]
    assert told[0].payload == told[2].payload


def test_a_trial_that_hangs_in_native_code_fails_with_its_process_and_is_not_run_again(hung):
    told, attempts = hung
    assert told[3].reason == "timeout after 1 s: it did not react, and its process was killed"
    assert told[4].payload != told[2].payload
    assert attempts == "01234"


class Trial:
    """As much of a trial of Tune's as is looked at."""

    trial_id = "a"

    def __init__(self, error=""):
        self._error = error

    def get_error(self):
        return self._error


def death_by(error):
    deaths = []
    watched = ProcessWatch(
        lambda trial_id, death: deaths.append((trial_id, death)), lambda _: None
    )
    watched.on_trial_error(0, [], Trial(error))
    return deaths


def test_the_death_of_a_node_is_not_blamed_on_its_trials():
    found = death_by("Failure # 1\nThe actor died because its node has died. Node Id: 3f\n")
    assert found == [("a", Death(blamed=False))]


def test_a_process_that_ray_killed_for_memory_counts_as_out_of_memory():
    found = death_by("Failure # 1\n1 worker(s) were killed due to the node running low on memory.")
    assert found == [("a", Death(SHORT))]
    assert ran_out_of_memory(Outcome(0, "failed", reason=SHORT))


def test_of_other_deaths_nothing_is_known():
    assert death_by("The actor died unexpectedly") == [("a", Death())] == death_by(None)


class Clocked:
    """A watch on one trial, with a clock that is set; to kill its process would raise."""

    def __init__(self):
        self.now, self.at_work, self.asked = 0.0, None, 0
        self.trial = Trial()
        self.trial.temporary_state = SimpleNamespace(ray_actor="no process")
        self.watch = ProcessWatch(lambda *_: None, self.elapsed, 10.0, clock=lambda: self.now)
        self.watch.on_trial_start(0, [], self.trial)

    def elapsed(self, _trial_id):
        self.asked += 1
        return self.at_work

    def step(self, now):
        self.now = now
        self.watch.on_step_begin(0, [self.trial])


def test_the_time_of_a_trial_ends_with_it():
    for end in ("on_trial_complete", "on_trial_error"):
        clocked = Clocked()
        getattr(clocked.watch, end)(0, [], clocked.trial)
        clocked.step(now=10_000.0)
        assert clocked.asked == 0


def test_the_time_in_which_a_process_starts_does_not_count():
    clocked = Clocked()
    clocked.step(now=14.0)
    assert clocked.asked == 0
    clocked.step(now=500.0)
    clocked.at_work = 3.0
    clocked.step(now=506.0)
    assert clocked.asked == 2
    clocked.at_work = 15.1
    with pytest.raises(ValueError, match="ray.kill"):
        clocked.step(now=518.1)


def test_a_process_that_never_gets_to_work_is_ended_too():
    clocked = Clocked()
    clocked.step(now=614.0)
    with pytest.raises(ValueError, match="ray.kill"):
        clocked.step(now=620.0)


def test_a_collector_that_died_is_said_in_one_line_with_memory_named():
    ray_says = (
        "2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: "
        f"192.0.2.2) was 2.12GB used / 23.54GB limit{' (0.089992)' * 100}"
    )
    words = lost_words(RuntimeError(ray_says))
    assert "short of memory on its host; --resume continues" in words
    for text in ("", "x" * 5000, "one\ntwo"):
        words = lost_words(RuntimeError(text))
        assert "\n" not in words and len(words) < 350 and words.endswith("continues the search")
