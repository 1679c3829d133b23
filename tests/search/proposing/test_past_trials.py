import copy

from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from slimtune.search.proposing.past_trials import EARLY_STOPPED, bare, with_violations


def trial(state: TrialState = TrialState.COMPLETE, **violations: float) -> FrozenTrial:
    return create_trial(
        state=state,
        values=[0.9] if state == TrialState.COMPLETE else None,
        params={"amount": 0.5},
        distributions={"amount": FloatDistribution(0, 1)},
        user_attrs={"spec": {"number": 3}},
        constraints=violations,
    )


def test_a_bare_trial_has_no_notes_of_ours_and_is_copied_at_once() -> None:
    whole = trial()
    found = bare(whole)
    assert found.user_attrs == {} and whole.user_attrs == {"spec": {"number": 3}}
    assert copy.deepcopy(found).params is found.params


def test_a_finished_trial_is_held_against_other_limits_but_stays_stopped() -> None:
    before = trial(size_bytes=0.5, **{EARLY_STOPPED: 1.0})
    after = with_violations(before, {"size_bytes": -0.1, "latency_ms": 0.2})
    assert after.constraints == {"size_bytes": -0.1, "latency_ms": 0.2, EARLY_STOPPED: 1.0}
    assert before.constraints == {"size_bytes": 0.5, EARLY_STOPPED: 1.0}
    assert with_violations(trial(size_bytes=0.5), {}).constraints in ({}, None)


def test_without_other_violations_or_while_it_runs_a_trial_keeps_its_own() -> None:
    known = trial(size_bytes=0.5)
    assert with_violations(known, None) is known
    running = trial(TrialState.RUNNING)
    assert with_violations(running, {"size_bytes": 0.5}) is running
