import random

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimtune.compression.recipe import Recipe
from slimtune.search.proposing.parameters import parameters_of
from slimtune.spaces.flat import dimensions, suggest_flat
from slimtune.spaces.presets import PRESETS
from slimtune.spaces.space import Space, suggest_recipe

WIDE = {
    "prune": {"method": "all", "schedule": ["one_shot", "incremental", "soft", "per_epoch"]},
    "quantize": {"method": "all"},
    "distill": {"method": "all"},
    "train": {"label_smoothing": [0.0, 0.1], "epochs": [1, 5]},
    "order": ["ppq", "spq"],
}
SPACES = [{}, WIDE, *(PRESETS[name].get("space", {}) for name in PRESETS)]


@settings(max_examples=60)
@given(st.integers(0, 2**31 - 1), st.sampled_from(range(len(SPACES))))
def test_what_a_recipe_was_drawn_from_draws_the_same_recipe(seed, index):
    space = Space.restricted(SPACES[index], listed=index > 1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    recipe = suggest_recipe(trial, space)
    recalled = parameters_of(recipe.to_dict(), lambda drawing: suggest_recipe(drawing, space))
    again = suggest_recipe(optuna.trial.FixedTrial({**trial.params, **recalled.params}), space)
    assert again.key() == recipe.key()
    for name, distribution in recalled.distributions.items():
        assert trial.distributions[name] == distribution
        overruled = ("train.epochs", "train.label_smoothing")  # by another choice of the recipe
        if name not in overruled:
            assert recalled.params[name] == pytest.approx(trial.params[name], abs=1e-9)
    assert all(name.startswith("train.") for name in trial.params.keys() - recalled.params.keys())


def test_a_trial_with_recalled_parameters_is_one_that_optuna_accepts():
    space = Space.restricted({})
    recipe = Recipe.from_dict(
        {"prune": {"method": "l1", "amount": 0.3, "scope": "local"}, "train": {"lr": 0.01}}
    )
    recalled = parameters_of(recipe.to_dict(), lambda drawing: suggest_recipe(drawing, space))
    trial = optuna.trial.create_trial(
        value=1.0, params=recalled.params, distributions=recalled.distributions
    )
    assert trial.params["prune.method"] == "l1"
    assert trial.params["prune.amount"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("draw", "value"),
    [
        (lambda d: d.suggest_float("prune.amount", 0.1, 0.8, step=0.05), 0.33),
        (lambda d: d.suggest_float("prune.amount", 0.1, 0.8), 0.9),
        (lambda d: d.suggest_int("prune.amount", 1, 8), "many"),
        (lambda d: d.suggest_categorical("prune.amount", [1, 2]), 3),
        (lambda d: d.suggest_float("prune.amount", 0.1, 0.8), None),
    ],
)
def test_a_value_that_the_dimension_does_not_have_is_not_noted(draw, value):
    recalled = parameters_of({"prune": {"amount": value}}, draw)
    assert recalled.params == {} and recalled.distributions == {}


@settings(max_examples=30)
@given(st.integers(0, 2**31 - 1), st.sampled_from(range(len(SPACES))))
def test_of_a_flat_space_every_dimension_is_recalled_or_drawn_once(seed, index):
    space = Space.restricted(SPACES[index], listed=index > 1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    recipe = suggest_flat(trial, space)

    def suggest(drawing):
        return suggest_flat(drawing, space)

    recalled = parameters_of(recipe.to_dict(), suggest, random.Random(seed))
    assert recalled.params.keys() == trial.params.keys() <= dimensions(space).keys()
    assert recalled.distributions == trial.distributions
    assert suggest(optuna.trial.FixedTrial(recalled.params)).key() == recipe.key()
    optuna.trial.create_trial(
        value=1.0, params=recalled.params, distributions=recalled.distributions
    )


def test_a_choice_that_the_recipe_does_not_say_is_not_noted():
    recalled = parameters_of(
        {"prune": None}, lambda d: d.suggest_categorical("prune.scope", ["a", "b"])
    )
    assert recalled.params == {}


def test_the_upper_end_of_a_range_with_steps_is_in_the_range() -> None:
    found = parameters_of(
        {"prune": {"amount": 0.7}},
        lambda trial: trial.suggest_float("prune.amount", 0.1, 0.7, step=0.05),
    )  # 0.1 + 12 * 0.05 is a bit above 0.7
    assert found.params == {"prune.amount": 0.7}
