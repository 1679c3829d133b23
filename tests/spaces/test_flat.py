import optuna
import pytest

from slimtune.spaces.flat import dimensions, suggest_flat
from slimtune.spaces.space import Space, suggest_recipe

SPACES = [
    {},
    {"prune": {"method": "all", "scope": ["local", "global", "stage"]}, "order": ["ppq", "spq"]},
    {
        "quantize": {"method": "all"},
        "distill": {"method": "all"},
        "student": {"model": ["baseline", "resnet8"]},
    },
    {"prune": {"method": "none"}, "quantize": {"method": "int8_static"}},
]


def new_study(seed=0):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))


@pytest.mark.parametrize("restriction", SPACES)
def test_every_trial_draws_the_same_dimensions_and_the_recipe_draws_no_other(restriction) -> None:
    space, study = Space.restricted(restriction), new_study()
    drawn = set()
    for _ in range(30):
        trial = study.ask()
        suggest_flat(trial, space)
        drawn.add(frozenset(trial.params))
    assert len(drawn) == 1
    assert drawn.pop() <= set(dimensions(space))


@pytest.mark.parametrize("restriction", SPACES)
def test_every_dimension_of_the_flat_space_is_one_that_some_recipe_reads(restriction) -> None:
    space, study = Space.restricted(restriction), new_study()
    read: set[str] = set()
    for _ in range(400):
        trial = study.ask()
        suggest_recipe(trial, space)
        read |= set(trial.params)
    trial = study.ask()
    suggest_flat(trial, space)
    assert set(trial.params) == read


def test_the_recipe_is_the_one_that_its_own_dimensions_make() -> None:
    space, study = Space.restricted({}), new_study()
    for _ in range(20):
        trial = study.ask()
        flat = suggest_flat(trial, space)
        again = suggest_recipe(optuna.trial.FixedTrial(trial.params), space)
        assert flat == again
