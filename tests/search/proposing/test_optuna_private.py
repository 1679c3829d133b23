"""What slimtune relies on though Optuna does not promise it. A failure here is a change there."""

import warnings

import optuna
import pytest
from optuna.samplers import NSGAIISampler, RandomSampler
from optuna.trial import TrialState, create_trial

from slimtune.search.proposing.optuna_private import generation, writable
from slimtune.search.proposing.samplers import NSGAIIISampler, make_sampler
from slimtune.search.proposing.study import open_study

DIRECTIONS = ["maximize", "minimize"]


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_running_trial_that_another_process_added_takes_constraints_and_notes(
    where: str, tmp_path
) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def opened() -> optuna.Study:
        return open_study(tmp_path / "study.db", DIRECTIONS, "s")

    study = opened() if where == "file" else optuna.create_study(directions=DIRECTIONS)
    for _ in range(3):
        study.add_trial(create_trial(state=TrialState.RUNNING))
    again = opened() if where == "file" else study
    handle = writable(again, again.get_trials(deepcopy=False)[1])
    handle.set_constraint("size_bytes", 0.5)
    handle.set_user_attr("reason", "no")
    assert [trial.constraints for trial in study.trials] == [{}, {"size_bytes": 0.5}, {}]
    assert [trial.user_attrs for trial in study.trials] == [{}, {"reason": "no"}, {}]
    assert handle.constraints == {"size_bytes": 0.5}


def test_asking_for_the_object_draws_nothing() -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.add_trial(create_trial(state=TrialState.RUNNING))
    before = study.trials
    writable(study, before[0])
    assert study.trials == before


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_a_generation_is_one_system_attribute_named_after_the_sampler(name: str) -> None:
    study = optuna.create_study(
        sampler=make_sampler(name, 0, number=0, attempt=0, history=[]), directions=DIRECTIONS
    )
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    study.tell(trial, [0.0, 0.0])
    kept = generation(study.trials[0])
    assert kept == {
        f"{ {'nsga2': 'NSGAIISampler', 'nsga3': 'NSGAIIISampler'}[name] }:generation": 0
    }
    copied = create_trial(state=TrialState.RUNNING, system_attrs=kept)
    assert study.sampler.get_trial_generation(study, copied) == 0
    study.tell(study.ask(), [0.0, 0.0])


def test_our_nsga3_stores_generations_under_the_name_of_optunas_own() -> None:
    """Studies of older versions hold that name."""
    assert NSGAIIISampler.__name__ == optuna.samplers.NSGAIIISampler.__name__


def test_parents_are_chosen_by_a_method_that_a_sampler_may_replace() -> None:
    calls = []

    class Own(NSGAIISampler):
        def select_parent(self, study, generation):
            calls.append(generation)
            return super().select_parent(study, generation)

    study = optuna.create_study(sampler=Own(population_size=3, seed=0), directions=DIRECTIONS)
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=8)
    assert calls[:2] == [1, 2]


def test_of_one_generation_nsga3_chooses_the_same_parents_whatever_the_proposals_seed() -> None:
    chosen = []
    for attempt in range(2):
        study = optuna.create_study(directions=["maximize"] * 3)
        for number in range(24):
            values = [float(number % 5), float(number % 7), float(-number % 3)]
            attrs = {"NSGAIIISampler:generation": 0}
            study.add_trial(create_trial(values=values, system_attrs=attrs))
        sampler = make_sampler("nsga3", 5, number=24, attempt=attempt, history=study.trials)
        chosen.append([trial.number for trial in sampler.select_parent(study, 1)])
    assert chosen[0] == chosen[1] and len(chosen[0]) == 20


def test_the_default_sampler_is_stated_in_full() -> None:
    tpe = make_sampler("tpe", 0, number=0, attempt=0, history=[])
    assert isinstance(tpe, optuna.samplers.TPESampler)
    assert tpe._multivariate and tpe._group and tpe._constant_liar


def test_constraints_make_a_trial_infeasible_when_above_0() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        broken = create_trial(values=[1.0], constraints={"size_bytes": 0.5})
        kept = create_trial(values=[0.0], constraints={"size_bytes": 0.0})
    study = optuna.create_study(direction="maximize")
    study.add_trials([broken, kept])
    assert [trial.number for trial in study.best_trials] == [1]
