import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle

from slimtune.search.attempt import Aids
from slimtune.search.inline_executor import run_inline
from slimtune.search.ray_executor import run_ray
from slimtune.search.ray_session import ray_session
from slimtune.search.spec import Outcome, TrialSpec

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def session():
    """One Ray for the file, with two CPUs; workers find slimtune as an installed one would be."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with ray_session(None, concurrency=2, cpus=1, gpus=0, shared_bytes=0):
            yield


def climb(folder, spec, aids):
    """Three rungs; what is done at each is written down, and by whom."""
    for step in range(3):
        with open(Path(folder, f"steps-{spec.number}"), "a") as steps:
            steps.write(f"{step} {os.getpid()} {threading.active_count()}\n")
        here = Outcome(spec.number, "stopped", {"y": float(step)}, rung=str(step))
        if reason := aids.judge(here):
            return replace(here, reason=reason)
    return Outcome(spec.number, "complete", {"y": 9.0})


def judge(outcome):
    """End every odd trial at its second rung."""
    return "odd" if outcome.number % 2 and outcome.rung == "1" else ""


def run_both(tmp_path, name, trials=4, judge=judge, work=climb, concurrency=1):
    folder = tmp_path / name
    folder.mkdir()
    specs = iter([*(TrialSpec(n, {}, n) for n in range(trials)), None])
    told = []
    if name == "inline":
        run_inline(work, str(folder), lambda: next(specs), told.append, aids=Aids(judge=judge))
    else:
        run_ray(
            work,
            str(folder),
            lambda: next(specs),
            told.append,
            concurrency=concurrency,
            judge=judge,
        )
    return folder, told


def steps(folder, number):
    return [line.split() for line in (folder / f"steps-{number}").read_text().splitlines()]


@pytest.fixture(scope="module")
def ray_run(session, tmp_path_factory):
    return run_both(tmp_path_factory.mktemp("stopping"), "ray")


def test_ray_and_inline_stop_the_same_trials_with_the_same_outcomes(ray_run, tmp_path):
    _, inline = run_both(tmp_path, "inline")
    _, by_ray = ray_run
    assert by_ray == inline
    assert [(o.number, o.status, o.reason) for o in by_ray] == [
        (0, "complete", ""),
        (1, "stopped", "odd"),
        (2, "complete", ""),
        (3, "stopped", "odd"),
    ]
    assert by_ray[1].objectives == {"y": 1.0} and by_ray[1].rung == "1"


def test_a_stopped_trial_does_no_more_and_its_worker_takes_the_next(ray_run):
    folder, _ = ray_run
    done = {number: steps(folder, number) for number in range(4)}
    assert [[step for step, _, _ in done[n]] for n in range(4)] == [
        ["0", "1", "2"],
        ["0", "1"],
        ["0", "1", "2"],
        ["0", "1"],
    ]
    pids = {pid for number in done for _, pid, _ in done[number]}
    assert len(pids) == 1 and pids != {str(os.getpid())}


def test_no_thread_of_a_stopped_trial_is_left_behind(ray_run):
    folder, _ = ray_run
    assert steps(folder, 2)[0][2] == steps(folder, 0)[0][2]


def die_at_the_second_rung(folder, spec, aids):
    if spec.number == 1 and not Path(folder, "died").exists():
        aids.judge(Outcome(spec.number, "stopped", {"y": -1.0}, rung="0"))
        Path(folder, "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return climb(folder, spec, aids)


def test_a_trial_whose_worker_died_is_judged_anew_and_told_once(session, tmp_path):
    seen = []

    def watch(outcome):
        seen.append((outcome.number, outcome.rung, outcome.objectives["y"]))
        return judge(outcome)

    _, told = run_both(tmp_path, "ray", judge=watch, work=die_at_the_second_rung)
    assert [(o.number, o.status, o.objectives["y"]) for o in told[:2]] == [
        (0, "complete", 9.0),
        (1, "stopped", 1.0),
    ]
    assert [entry for entry in seen if entry[0] == 1] == [
        (1, "0", -1.0),
        (1, "0", 0.0),
        (1, "1", 1.0),
    ]


def test_side_by_side_every_trial_is_told_once_as_it_ended(session, tmp_path):
    _, told = run_both(tmp_path, "ray", trials=12, concurrency=2)
    told.sort(key=lambda outcome: outcome.number)
    assert [outcome.number for outcome in told] == list(range(12))
    assert [outcome.status for outcome in told] == ["complete", "stopped"] * 6


def fail_after_a_rung(folder, spec, aids):
    aids.judge(Outcome(spec.number, "stopped", {}, rung="0"))
    raise ValueError("cannot be weighed")


def test_a_trial_that_raises_in_its_thread_fails_with_its_traceback(session, tmp_path):
    _, told = run_both(tmp_path, "ray", trials=1, work=fail_after_a_rung)
    assert (told[0].status, told[0].reason) == ("failed", "ValueError: cannot be weighed")
    assert b"fail_after_a_rung" in told[0].files["error.txt"]


def test_an_error_of_the_judge_ends_the_search_as_itself(session, tmp_path):
    def broken(outcome):
        raise OSError("disk full")

    with pytest.raises(OSError, match="^disk full$"):
        run_both(tmp_path, "ray", judge=broken)
