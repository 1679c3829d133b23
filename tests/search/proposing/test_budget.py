import math

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from slimtune.results.objectives import parse_objectives
from slimtune.search.proposing.budget import Budget, is_flat
from slimtune.search.proposing.past_trials import EARLY_STOPPED
from slimtune.search.settings.config import make_config

OBJECTIVES = parse_objectives(["accuracy", "size_bytes"])
REFERENCE = [0.0, 100.0]


def trial(accuracy=0.0, size=0.0, state=TrialState.COMPLETE, violation=None):
    complete = state is TrialState.COMPLETE
    return create_trial(
        state=state,
        values=[accuracy, size] if complete else None,
        constraints=None if violation is None else {"size_bytes": violation},
    )


def flat(history, trials):
    return is_flat(history, trials, OBJECTIVES, REFERENCE)


FIRST = trial(0.5, 50)
FAILED = trial(state=TrialState.FAIL)
RUNNING = trial(state=TrialState.RUNNING)


@pytest.mark.parametrize(
    "last",
    [
        trial(0.4, 60),  # dominated
        trial(0.5, 50),  # the same again
        trial(0.5, 60),
        trial(0.9, 100),  # on the edge of the reference box
        trial(0.9, 200),  # better, but out of the box
        FAILED,
    ],
)
def test_what_the_trials_before_dominate_gains_nothing(last) -> None:
    assert flat([FIRST, last], 1)


@pytest.mark.parametrize("last", [trial(0.6, 60), trial(0.4, 40), trial(0.5, 49)])
def test_a_point_that_none_before_dominates_gains(last) -> None:
    assert not flat([FIRST, last], 1)


def test_only_the_last_finished_trials_count() -> None:
    history = [FIRST, trial(0.6, 40), trial(0.1, 90), FAILED]
    assert flat(history, 2)
    assert not flat(history, 3)
    assert flat([*history, RUNNING, RUNNING], 2)
    assert not flat(history, 5)  # fewer than five have finished


def test_a_search_in_which_all_fails_is_flat() -> None:
    assert flat([FAILED] * 3, 3) and not flat([FAILED] * 2, 3)


def test_a_trial_that_breaks_a_constraint_gains_nothing_once_one_keeps_them() -> None:
    kept = trial(0.5, 50, violation=-0.1)
    assert flat([kept, trial(0.9, 10, violation=0.2)], 1)
    assert not flat([kept, trial(0.9, 10, violation=0.0)], 1)


def test_as_long_as_none_keeps_the_constraints_coming_nearer_is_a_gain() -> None:
    far, near = trial(0.5, 50, violation=2.0), trial(0.1, 90, violation=1.0)
    assert not flat([far, near], 1)
    assert flat([near, far], 1)
    assert not flat([far, trial(0.1, 90, violation=-1.0)], 1)


def test_time_runs_from_the_moment_the_budget_is_made() -> None:
    now = [1000.0]
    budget = Budget(duration="10m", clock=lambda: now[0], started=now[0])
    why_stop = budget.stop_check(OBJECTIVES, {"accuracy": 0.0, "size_bytes": 100.0})
    assert why_stop([]) == ""
    now[0] += 599
    assert why_stop([FIRST]) == ""
    now[0] += 1
    assert why_stop([FIRST]) == "the time budget of 10m is spent"


def test_the_config_says_what_the_budget_is() -> None:
    budget = Budget.of(make_config({"stop_when_flat": 1}))
    why_stop = budget.stop_check(OBJECTIVES, {"accuracy": 0.0, "size_bytes": 100.0})
    assert why_stop([FIRST]) == ""
    assert why_stop([FIRST, FIRST]) == "the last 1 trials added no hypervolume"
    never = Budget.of(make_config({})).stop_check(
        OBJECTIVES, {"accuracy": 0, "size_bytes": math.inf}
    )
    assert never([FIRST] * 100) == ""


def test_optuna_keeps_the_constraints_that_are_read_here() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(trial(0.5, 50, violation=0.5))
    assert study.trials[0].constraints == {"size_bytes": 0.5}


def test_a_stopped_trial_never_comes_nearer_to_the_limits() -> None:
    far = trial(0.5, 50, violation=3.0)
    stopped = create_trial(
        state=TrialState.COMPLETE, values=[0.9, 10], constraints={EARLY_STOPPED: 1.0}
    )
    assert flat([far, stopped], 1) and flat([FIRST, stopped], 1)
