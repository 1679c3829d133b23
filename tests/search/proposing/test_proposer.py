import dataclasses
import sqlite3

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, RunError
from slimtune.search.proposing.past_trials import EARLY_STOPPED
from slimtune.search.proposing.plan import ProposalPlan
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.proposing.study import open_study
from slimtune.search.trial.spec import Outcome, TrialSpec, trial_seed

OBJECTIVES = ["accuracy", "size_bytes"]
DIRECTIONS = ["maximize", "minimize"]


def suggest(trial):
    method = trial.suggest_categorical("method", ["none", "l1", "fpgm"])
    amount = trial.suggest_float("amount", 0.1, 0.8) if method != "none" else 0.0
    return {"method": method, "amount": amount}


def suggest_one_of_four(trial):
    return {"bits": trial.suggest_categorical("bits", [2, 4, 8, 32])}


def measure(spec):
    amount = spec.recipe.get("amount", 0.0)
    objectives = {"accuracy": 1 - amount**2, "size_bytes": 1000 * (1 - amount)}
    return Outcome(spec.number, "complete", objectives)


def new_study():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(directions=DIRECTIONS)


OF_CONDITIONS = [field.name for field in dataclasses.fields(Conditions)]


def proposer(study, trials=100, **options):
    given = {name: options.pop(name) for name in OF_CONDITIONS if name in options}
    plan, conditions = (
        ProposalPlan(**{"suggest": suggest, **options}, trials=trials),
        {"seed": 7, **given},
    )
    return Proposer(study, plan, objectives=OBJECTIVES, conditions=Conditions(**conditions))


def going_on(study, trials=100, **options):
    """Return a proposer that first hands out the trials that were asked and never told."""
    asked = proposer(study, trials, **options)
    asked.run_again(unfinished(study))
    return asked


def unfinished(study):
    """Return the specs of trials that were asked and never told, in the order of numbers."""
    running = study.get_trials(states=(TrialState.RUNNING,))
    return [TrialSpec.from_dict(trial.user_attrs["spec"]) for trial in running]


def run_all(proposer):
    specs = []
    while (spec := proposer.ask()) is not None:
        specs.append(spec)
        proposer.tell(measure(spec))
    return specs


def test_numbers_are_dense_and_asking_ends_at_the_number_of_trials():
    study = new_study()
    specs = run_all(proposer(study, trials=5, threads=2, device="cuda"))
    assert [spec.number for spec in specs] == [0, 1, 2, 3, 4]
    assert [spec.conditions.seed for spec in specs] == [trial_seed(7, n) for n in range(5)]
    assert {(spec.conditions.threads, spec.conditions.device) for spec in specs} == {(2, "cuda")}
    assert proposer(study, trials=5).ask() is None
    assert [trial.params["method"] for trial in study.trials] == [
        spec.recipe["method"] for spec in specs
    ]


def test_values_stand_in_the_order_of_the_directions():
    study = new_study()
    asked = proposer(study)
    asked.ask()
    asked.tell(Outcome(0, "complete", {"size_bytes": 9, "accuracy": 0.5}))
    assert study.trials[0].values == [0.5, 9.0]


def test_a_reopened_study_goes_on_as_if_it_had_never_been_closed(tmp_path):
    whole = run_all(proposer(new_study(), trials=13))
    parts = []
    for trials in (3, 11, 13):  # TPE models from the 11th
        study = open_study(tmp_path / "parts.db", DIRECTIONS, "s")
        parts += run_all(proposer(study, trials=trials))
    assert parts == whole
    amounts = [spec.recipe["amount"] for spec in parts if spec.recipe["method"] != "none"]
    assert len(set(amounts)) == len(amounts) > 3  # no draw was replayed


def test_another_seed_proposes_other_recipes():
    one = run_all(proposer(new_study(), trials=6, seed=1))
    two = run_all(proposer(new_study(), trials=6, seed=2))
    assert [spec.recipe for spec in one] != [spec.recipe for spec in two]


def test_the_sampler_learns_from_what_it_is_told():
    def suggest_amount(trial):
        return {"amount": trial.suggest_float("amount", 0.0, 1.0)}

    def mean_of_last_ten(tell):
        asked = proposer(new_study(), trials=40, suggest=suggest_amount, seed=3)
        specs = []
        while (spec := asked.ask()) is not None:
            specs.append(spec)
            tell(asked, spec)
        return sum(abs(spec.recipe["amount"] - 0.7) for spec in specs[-10:]) / 10

    def tell_distance(asked, spec):
        distance = abs(spec.recipe["amount"] - 0.7)
        objectives = {"accuracy": 1 - distance, "size_bytes": distance}
        asked.tell(Outcome(spec.number, "complete", objectives))

    def tell_failure(asked, spec):
        asked.tell(Outcome(spec.number, "failed", reason="no"))

    # Of uniform draws, (0.7^2 + 0.3^2) / 2 = 0.29 is expected.
    assert mean_of_last_ten(tell_distance) < 0.15 < 0.2 < mean_of_last_ten(tell_failure)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "0.9"])
def test_an_objective_that_is_not_finite_fails_the_trial_with_a_reason(value):
    study = new_study()
    asked = proposer(study)
    asked.ask()
    asked.tell(Outcome(0, "complete", {"accuracy": value, "size_bytes": 1}))
    assert study.trials[0].state is optuna.trial.TrialState.FAIL
    assert study.trials[0].user_attrs["reason"].startswith("accuracy must be a finite number")


def test_a_missing_objective_fails_the_trial_with_a_reason():
    study = new_study()
    asked = proposer(study)
    asked.ask()
    asked.tell(Outcome(0, "complete", {"accuracy": 0.9}))
    assert study.trials[0].state is optuna.trial.TrialState.FAIL
    assert "size_bytes" in study.trials[0].user_attrs["reason"]


def test_a_failed_outcome_keeps_its_reason():
    study = new_study()
    asked = proposer(study)
    asked.ask()
    asked.tell(Outcome(0, "failed", reason="PruningError: nothing left"))
    assert study.trials[0].state is optuna.trial.TrialState.FAIL
    assert study.trials[0].user_attrs["reason"] == "PruningError: nothing left"


def test_of_two_outcomes_of_one_trial_the_first_stands():
    study = new_study()
    asked = proposer(study)
    asked.ask()
    asked.tell(Outcome(0, "complete", {"accuracy": 0.9, "size_bytes": 1}))
    asked.tell(Outcome(0, "failed", reason="late"))
    asked.tell(Outcome(0, "complete", {"accuracy": 0.1, "size_bytes": 1}))
    assert study.trials[0].values == [0.9, 1.0]
    assert "reason" not in study.trials[0].user_attrs


@pytest.mark.parametrize("number", [-1, 1])
def test_an_outcome_of_no_trial_is_refused(number):
    asked = proposer(new_study())
    asked.ask()
    with pytest.raises(RunError, match=f"no trial {number}"):
        asked.tell(Outcome(number, "failed"))


def test_trials_never_told_are_found_again_and_handed_out_first(tmp_path):
    first = proposer(open_study(tmp_path / "study.db", DIRECTIONS, "s"), trials=3)
    specs = [first.ask(), first.ask()]
    first.tell(measure(specs[0]))

    study = open_study(tmp_path / "study.db", DIRECTIONS, "s")
    assert unfinished(study) == [specs[1]]
    second = run_all(going_on(study, trials=3))
    assert second[0] == specs[1]
    assert [spec.number for spec in second] == [1, 2]
    assert unfinished(study) == []
    assert len(study.trials) == 3


def test_a_recipe_is_not_proposed_twice_while_there_are_others():
    specs = run_all(
        proposer(new_study(), trials=4, suggest=suggest_one_of_four, key=lambda r: str(r["bits"]))
    )
    assert sorted(spec.recipe["bits"] for spec in specs) == [2, 4, 8, 32]


def test_a_space_that_is_used_up_ends_the_search_and_says_so():
    study = new_study()
    own = proposer(study, trials=7, suggest=suggest_one_of_four, key=lambda r: str(r["bits"]))
    assert {spec.recipe["bits"] for spec in run_all(own)} == {2, 4, 8, 32}
    assert len(study.trials) == 4
    assert own.stopped == "60 draws in a row gave only recipes that had been tried before"


def test_keys_are_remembered_by_the_study(tmp_path):
    bits = []
    for trials in (1, 2, 3, 4):
        study = open_study(tmp_path / "study.db", DIRECTIONS, "s")
        options = {"suggest": suggest_one_of_four, "key": lambda r: str(r["bits"])}
        bits += [spec.recipe["bits"] for spec in run_all(proposer(study, trials, **options))]
    assert sorted(bits) == [2, 4, 8, 32]


def test_start_points_come_first_and_what_they_leave_out_is_drawn():
    start = [{"method": "fpgm", "amount": 0.5}, {"method": "l1"}]
    specs = run_all(proposer(new_study(), trials=4, start=start))
    assert specs[0].recipe == {"method": "fpgm", "amount": 0.5}
    assert specs[1].recipe["method"] == "l1"
    assert 0.1 <= specs[1].recipe["amount"] <= 0.8


def test_start_points_are_run_as_they_are_each_with_its_seed():
    start = [{"bits": 4}, {"bits": 4}, {"bits": 2}]
    options = {"suggest": suggest_one_of_four, "key": lambda r: str(r["bits"])}
    specs = run_all(proposer(new_study(), trials=4, start=start, seeds=[5, 6, 5], **options))
    assert [spec.recipe["bits"] for spec in specs[:3]] == [4, 4, 2]
    assert [spec.conditions.seed for spec in specs[:3]] == [5, 6, 5]
    assert specs[3].recipe["bits"] in (8, 32) and specs[3].conditions.seed not in (5, 6)


def test_the_random_sampler_does_not_look_at_results():
    """What TPE proposes after its start-up depends on the values told; chance does not."""

    def proposed(sampler, sign):
        study, specs = new_study(), []
        asked = proposer(study, trials=30, sampler=sampler)
        while (spec := asked.ask()) is not None:
            specs.append(spec.recipe)
            outcome = measure(spec)
            values = {name: sign * value for name, value in outcome.objectives.items()}
            asked.tell(Outcome(spec.number, "complete", values))
        return specs

    assert proposed("random", 1) == proposed("random", -1)
    assert proposed("tpe", 1) != proposed("tpe", -1)


@pytest.mark.parametrize(
    "start",
    [
        {"method": "taylr"},
        {"method": "l1", "amount": 0.95},
        {"method": "l1", "amuont": 0.5},
        {"method": "none", "amount": 0.5},
    ],
)
def test_a_start_point_outside_the_space_is_refused_in_one_line(start):
    study = new_study()
    with pytest.raises(ConfigError, match="start point 0") as caught:
        proposer(study, start=[start]).ask()
    assert "\n" not in str(caught.value)
    assert study.trials == []


def test_no_new_trial_is_proposed_once_it_is_enough_and_the_study_knows_why(tmp_path):
    study = open_study(tmp_path / "study.db", DIRECTIONS, "s")
    told = iter(["", "", "it is late"])
    asked = proposer(study, why_stop=lambda history: next(told))
    assert len(run_all(asked)) == 2
    assert asked.ask() is None and asked.stopped == "it is late"
    assert open_study(tmp_path / "study.db", DIRECTIONS, "s").user_attrs["stopped"] == "it is late"

    study = open_study(tmp_path / "study.db", DIRECTIONS, "s")
    again = proposer(study, trials=4)
    assert [spec.number for spec in run_all(again)] == [2, 3]
    assert again.stopped == "" == study.user_attrs["stopped"]


def test_unfinished_trials_are_handed_out_even_when_it_is_enough():
    study = new_study()
    spec = proposer(study).ask()
    asked = going_on(study, why_stop=lambda history: "late")
    assert asked.ask() == spec
    assert asked.ask() is None


def test_a_search_that_ends_with_its_last_trial_was_not_stopped():
    asked = proposer(new_study(), trials=1, why_stop=lambda history: "late" if history else "")
    run_all(asked)
    assert asked.stopped == ""


def test_the_number_of_objectives_must_be_the_studys():
    one, plan = Conditions(seed=0), ProposalPlan(suggest, 1)
    with pytest.raises(ConfigError, match="has 2, but got 1"):
        Proposer(new_study(), plan, objectives=["accuracy"], conditions=one)


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["complete", "failed", "nan", "leave"]), max_size=12))
def test_whatever_happens_every_told_trial_is_finished_and_every_other_can_run_again(fates):
    study = new_study()
    asked = proposer(study, trials=len(fates))
    left = []
    for fate in fates:
        spec = asked.ask()
        if fate == "leave":
            left.append(spec)
        elif fate == "failed":
            asked.tell(Outcome(spec.number, "failed"))
        else:
            accuracy = float("nan") if fate == "nan" else 0.5
            objectives = {"accuracy": accuracy, "size_bytes": 1}
            asked.tell(Outcome(spec.number, "complete", objectives))
    assert unfinished(study) == left
    assert len(study.best_trials) == fates.count("complete")
    assert asked.ask() is None


def test_a_database_that_cannot_be_written_is_an_error_of_the_run(tmp_path):
    study = open_study(tmp_path / "study.db", DIRECTIONS, "s")
    asked = proposer(study)
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("DROP TABLE trials")
    with pytest.raises(RunError, match="the study cannot be used"):
        asked.ask()


def test_specs_to_run_again_come_before_new_ones():
    study = new_study()
    first = proposer(study, trials=2)
    spec = first.ask()
    second = proposer(study, trials=2)
    second.run_again([spec])
    assert [again.number for again in run_all(second)] == [0, 1]


def test_a_restored_trial_is_the_trial_that_was_lost():
    """What is proposed after it is the same, so the sampler sees the same history."""
    whole = new_study()
    specs = run_all(proposer(whole, trials=14))
    lost = new_study()
    restored = proposer(lost, trials=14)
    for spec in specs[:12]:
        restored.restore(spec, measure(spec))
    assert run_all(restored) == specs[12:]
    for one, other in zip(whole.trials, lost.trials, strict=True):
        assert (one.params, one.distributions) == (other.params, other.distributions)
        assert (one.values, one.user_attrs) == (other.values, other.user_attrs)


def test_trials_share_the_seed_of_their_beginning_but_repeats_of_a_grid_do_not():
    specs = run_all(proposer(new_study(), trials=4, seeds=[8, 9], prefix_seed=77))
    assert [spec.conditions.seed for spec in specs[:2]] == [8, 9]
    assert [spec.conditions.prefix_seed for spec in specs[:2]] == [None, None]
    assert [spec.conditions.prefix_seed for spec in specs[2:]] == [77, 77]
    assert specs[2].conditions.seed != specs[3].conditions.seed


def test_a_stopped_trial_is_known_to_the_sampler_and_never_a_best_one():
    study = new_study()
    asked = proposer(study, trials=3)
    for status in ("complete", "stopped", "complete"):
        spec = asked.ask()
        best = {"accuracy": 1.0, "size_bytes": 1.0}
        objectives = best if status == "stopped" else measure(spec).objectives
        asked.tell(Outcome(spec.number, status, objectives, reason="behind"), {"size_bytes": -0.5})
    stopped = study.trials[1]
    assert stopped.state == optuna.trial.TrialState.COMPLETE and stopped.values == [1.0, 1.0]
    assert stopped.constraints == {"size_bytes": -0.5, EARLY_STOPPED: 1.0}
    assert 1 not in {trial.number for trial in study.best_trials}
    assert study.best_trials and asked.ask() is None


def test_changed_limits_count_for_trials_that_the_study_has_finished():
    study = new_study()
    seen = []
    one = proposer(study, trials=9, why_stop=lambda history: seen.append(history) or "")
    for number in range(2):
        one.tell(measure(one.ask()), {"size_bytes": float(number)})
    one.tell(Outcome(one.ask().number, "stopped", {"accuracy": 0.1, "size_bytes": 9}), {})
    one.use_violations({0: {"accuracy": 0.5}, 2: {}})
    one.ask()
    assert [trial.constraints for trial in seen[-1]] == [
        {"accuracy": 0.5},
        {"size_bytes": 1.0},
        {EARLY_STOPPED: 1.0},
    ]
    assert study.trials[0].constraints == {"size_bytes": 0.0}  # as it was told
