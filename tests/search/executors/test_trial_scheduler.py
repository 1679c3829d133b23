import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from slimtune.conditions import Conditions
from slimtune.results.objectives import parse_objectives
from slimtune.results.store.record import TrialRecord
from slimtune.search.executors.inline import InlineExecutor
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.stopping import StoppingRule
from tests.search.recording import Recording

ROOT = Path(__file__).parents[3]


NAMES = ["accuracy", "size_bytes"]


def stand(number, rung, size):
    """Return trial ``number`` as it stands at a rung."""
    values = {"accuracy": 0.9 - number / 100, "size_bytes": size}  # of so many images no doubt
    record = TrialRecord(
        number=number,
        status="stopped",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        objectives=values,
        rungs={rung: values},
    )
    return Outcome(number, "stopped", values, record, rung=rung)


def climb(folder, spec, aids):
    """Three rungs; what is done at each is written down, and by whom.

    The higher its number, the larger the trial. Number 6 is small until its last rung, and its
    process dies once on the way; number 7 raises.
    """
    for step in range(3):
        with open(Path(folder, f"steps-{spec.number}"), "a") as steps:
            steps.write(f"{step} {os.getpid()} {threading.active_count()}\n")
        if spec.number == 7:
            aids.judge(stand(7, "alone", 1.0))
            raise ValueError("cannot be weighed")
        if spec.number == 6 and step == 1 and not Path(folder, "died").exists():
            Path(folder, "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        size = 50.0 if spec.number == 6 and step < 2 else 100.0 + spec.number
        here = stand(spec.number, f"train {step}/3", size)
        if reason := aids.judge(here):
            return replace(here, reason=reason)
    return Outcome(spec.number, "complete", dict(here.objectives))


class Rule(StoppingRule):
    """The search's own rule, which also writes down whom it is shown."""

    def __init__(self):
        super().__init__(parse_objectives(NAMES), {}, ceiling=1.0, images=10**12)
        self.shown = []

    def __call__(self, outcome):
        self.shown.append((outcome.number, outcome.rung))
        return super().__call__(outcome)


def specs(trials):
    return [TrialSpec(n, {}, Conditions(n)) for n in range(trials)]


class Run:
    """Trials that climb, on Ray with one worker or inline."""

    def __init__(self, folder, trials, on_ray):
        self.folder, self.rule = folder, Rule()
        driver = Recording(specs(trials))
        driver.judge = self.rule
        executor = RayExecutor(concurrency=1) if on_ray else InlineExecutor()
        executor.run(climb, str(folder), driver)
        self.told = driver.outcomes

    def steps(self, number):
        text = (self.folder / f"steps-{number}").read_text()
        return [line.split() for line in text.splitlines()]


@pytest.fixture(scope="module")
def on_ray(session, tmp_path_factory):
    return Run(tmp_path_factory.mktemp("ray"), trials=8, on_ray=True)


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("inline"), trials=6, on_ray=False)


def test_ray_with_one_worker_stops_the_same_trials_as_inline_with_the_same_outcomes(
    on_ray, inline
) -> None:
    assert on_ray.told[:6] == inline.told
    assert [outcome.status for outcome in inline.told] == ["complete"] * 4 + ["stopped"] * 2
    assert (
        inline.told[4].rung == "train 0/3" and "4 of 4 comparable trials" in inline.told[4].reason
    )


def test_a_stopped_trial_does_no_more_and_its_worker_takes_the_next(on_ray) -> None:
    assert [[step for step, _, _ in on_ray.steps(n)] for n in range(6)] == [
        *[["0", "1", "2"]] * 4,
        *[["0"]] * 2,
    ]
    pids = {pid for n in range(6) for _, pid, _ in on_ray.steps(n)}
    assert len(pids) == 1 and pids != {str(os.getpid())}


def test_no_thread_of_a_stopped_trial_is_left_behind(on_ray) -> None:
    assert on_ray.steps(5)[0][2] == on_ray.steps(1)[0][2]


def test_a_trial_whose_worker_died_is_judged_anew_and_told_once(on_ray) -> None:
    shown = [rung for number, rung in on_ray.rule.shown if number == 6]
    assert shown == ["train 0/3", "train 0/3", "train 1/3", "train 2/3"]
    [told] = [outcome for outcome in on_ray.told if outcome.number == 6]
    assert (told.status, told.rung) == ("stopped", "train 2/3")
    assert len({pid for _, pid, _ in on_ray.steps(6)}) == 2


def test_a_trial_that_raises_after_a_rung_fails_with_its_traceback(on_ray) -> None:
    told = on_ray.told[-1]
    assert (told.number, told.status) == (7, "failed")
    assert told.reason == "ValueError: cannot be weighed"
    assert b"in climb" in told.files["error.txt"]


def alternate(shared, spec, aids):
    reason = aids.judge(stand(spec.number, "half", 1.0))
    return Outcome(spec.number, "complete", reason=reason)


@pytest.mark.slow
def test_side_by_side_every_trial_is_told_once_as_it_ended(session) -> None:
    driver = Recording(specs(12))
    driver.judge = lambda outcome: "odd" if outcome.number % 2 else ""
    RayExecutor(concurrency=2).run(alternate, None, driver)
    told = sorted(driver.outcomes, key=lambda outcome: outcome.number)
    assert [outcome.number for outcome in told] == list(range(12))
    assert [outcome.status for outcome in told] == ["complete", "stopped"] * 6


@pytest.mark.slow
def test_an_error_of_the_judge_ends_the_search_as_itself(session) -> None:
    def broken(outcome):
        raise OSError("disk full")

    driver = Recording(specs(4))
    driver.judge = broken
    with pytest.raises(OSError, match="^disk full$"):
        RayExecutor(concurrency=1).run(alternate, None, driver)
