import copy
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from slimtune.conditions import Conditions
from slimtune.results.store.record import TrialRecord
from slimtune.search.proposing.parameters import parameters_of
from slimtune.search.proposing.study_check import StudyCheck
from slimtune.search.trial.spec import TrialSpec

RECIPE = {"prune": {"method": "l1", "amount": 0.3}}


def suggest(trial: Any) -> dict[str, Any]:
    method = trial.suggest_categorical("prune.method", ["none", "l1"])
    amount = trial.suggest_float("prune.amount", 0.1, 0.8) if method != "none" else 0.0
    return {"prune": {"method": method, "amount": amount}}


def state_and_values(record: TrialRecord) -> tuple[TrialState, list[float] | None]:
    if record.status == "failed":
        return TrialState.FAIL, None
    return TrialState.COMPLETE, [record.objectives["accuracy"]]


CHECK = StudyCheck(
    suggest,
    seeds=lambda number: (10 + number, None),
    standing=state_and_values,
    required=["spec", "key"],
)


def record_of(number: int, status: Any = "complete", **change: Any) -> TrialRecord:
    known = {"recipe": RECIPE, "objectives": {"accuracy": 0.5}, **change}
    known["conditions"] = Conditions(10 + number)
    return TrialRecord(number=number, status=status, pipeline="p", **known)


def study_of(state: TrialState = TrialState.COMPLETE, **change: Any) -> optuna.Study:
    """Return a study of two trials, the second of which may be another than ours."""
    study = optuna.create_study(directions=["maximize"])
    for number in range(2):
        found = parameters_of(RECIPE, suggest)
        spec = TrialSpec(number, copy.deepcopy(RECIPE), Conditions(10 + number)).to_dict()
        made = {"user_attrs": {"spec": spec, "key": str(RECIPE)}, "params": found.params}
        made |= {"distributions": found.distributions, "state": state if number else None}
        made["state"] = made["state"] or TrialState.COMPLETE
        made |= change if number else {}
        values = [0.5] if made["state"] is TrialState.COMPLETE else None
        study.add_trial(create_trial(**{"values": values, **made}))
    return study


@pytest.mark.parametrize(
    ("state", "record"),
    [
        (TrialState.COMPLETE, record_of(1)),
        (TrialState.COMPLETE, None),  # its folder is gone: it runs again
        (TrialState.RUNNING, None),
        (TrialState.RUNNING, record_of(1)),  # written, not told
        (TrialState.FAIL, record_of(1, "failed")),
    ],
)
def test_what_a_kill_at_any_moment_leaves_is_no_fault(
    state: TrialState, record: TrialRecord | None
) -> None:
    assert CHECK.fault(study_of(state), {0: record_of(0), 1: record}) == ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"user_attrs": {}}, "trial 1: has no spec, so another program made it"),
        ({"user_attrs": {"spec": {}, "key": ""}}, "RunError: a trial spec has the fields"),
        ({"user_attrs": {"spec": 3, "key": ""}}, "TypeError|RunError"),
        ({"state": TrialState.WAITING}, "is WAITING"),
        ({"state": TrialState.PRUNED}, "is PRUNED"),
        ({"values": [0.25]}, "other values than its folder"),
        ({"state": TrialState.FAIL}, "other values than its folder"),
        (
            {"params": {"prune.method": "l1", "prune.amount": 0.7}},
            "other parameters than its recipe",
        ),
    ],
)
def test_anything_else_is_named(change: dict[str, Any], fault: str) -> None:
    found = CHECK.fault(study_of(**change), {0: record_of(0), 1: record_of(1)})
    assert any(part in found for part in fault.split("|"))


@pytest.mark.parametrize(
    "name", ["number", "seed", "prefix_seed", "recipe", "precision", "threads"]
)
def test_a_changed_spec_is_named_even_of_a_trial_that_runs(name: str) -> None:
    changed: dict[str, Any] = {
        "number": 0,
        "seed": 3,
        "prefix_seed": 4,
        "recipe": {"prune": {"method": "none"}},
    }
    changed |= {"precision": "flOat32", "threads": "1"}
    spec = {**TrialSpec(1, RECIPE, Conditions(11)).to_dict(), name: changed[name]}
    study = study_of(TrialState.RUNNING, user_attrs={"spec": spec, "key": str(RECIPE)})
    fault = CHECK.fault(study, {0: record_of(0)})
    assert fault.startswith(("trial 1: has a", "trial 1: has other parameters than its recipe"))


def test_a_record_of_another_recipe_is_named_and_a_failure_that_runs_again() -> None:
    other = record_of(1, recipe={"prune": {"method": "none", "amount": 0.0}})
    assert "other conditions than its folder" in CHECK.fault(study_of(), {1: other})
    assert "runs again" in CHECK.fault(study_of(TrialState.FAIL), {0: record_of(0), 1: None})
