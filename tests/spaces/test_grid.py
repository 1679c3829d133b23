import optuna
import pytest

from slimtune.errors import ConfigError
from slimtune.spaces.grid import MOST, grid_points
from slimtune.spaces.space import Space, suggest_recipe

SMALL = {
    "prune": {"method": ["none", "l1", "fpgm"], "amount": [0.25, 0.5, 0.75], "scope": "local"},
    "quantize": {"method": ["none", "int8_static"]},
    "distill": {"method": ["none", "base"], "alpha": 0.9, "temperature": 4},
    "train": {"lr": 0.01},
}


def test_a_grid_holds_every_recipe_of_the_space_once() -> None:
    points = grid_points(Space.restricted(SMALL, listed=True))
    # 1 + 2 methods x 3 amounts, x 2 quantizers x 2 distillers
    assert len(points) == (1 + 2 * 3) * 2 * 2


def test_a_random_search_finds_nothing_that_the_grid_lacks() -> None:
    space = Space.restricted(SMALL)
    listed = {
        suggest_recipe(optuna.trial.FixedTrial(point), space).key() for point in grid_points(space)
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {suggest_recipe(study.ask(), space).key() for _ in range(600)}
    assert drawn == listed


def test_a_space_of_one_recipe_has_one_point() -> None:
    only = {
        "prune": {"method": "none"},
        "quantize": {"method": "int8_static"},
        "distill": {"method": "none"},
    }
    assert grid_points(Space.restricted(only)) == [{}]


def test_a_list_of_two_numbers_is_two_values_in_a_grid_and_a_range_elsewhere() -> None:
    two = {**SMALL, "prune": {"method": "l1", "amount": [0.3, 0.5], "scope": "local"}}
    listed = grid_points(Space.restricted(two, listed=True))
    assert {point["prune.amount"] for point in listed} == {0.3, 0.5}
    ranged = grid_points(Space.restricted(two))
    assert len({point["prune.amount"] for point in ranged}) == 5


def test_ranges_with_a_step_are_walked_and_others_are_refused() -> None:
    steps = {**SMALL, "prune": {"method": "l1", "amount": {"low": 0.1, "high": 0.5, "step": 0.1}}}
    amounts = {round(point["prune.amount"], 9) for point in grid_points(Space.restricted(steps))}
    assert amounts == {0.1, 0.2, 0.3, 0.4, 0.5}
    with pytest.raises(ConfigError, match="space.train.lr: a grid needs a list of values"):
        grid_points(Space.restricted({**SMALL, "train": {"lr": [0.01, 0.1]}}))


def test_the_last_value_of_a_range_is_not_beyond_it() -> None:
    amounts = {"low": 0.15, "high": 0.85, "step": 0.1}  # 0.15 + 7 * 0.1 > 0.85
    space = Space.restricted({**SMALL, "prune": {"method": "l1", "amount": amounts}})
    assert max(point["prune.amount"] for point in grid_points(space)) == 0.85


def test_a_grid_that_is_too_large_is_refused() -> None:
    large = {**SMALL, "train": {"lr": 0.01, "epochs": {"low": 1, "high": 1000}}}
    with pytest.raises(ConfigError, match=f"may have {MOST} points at most"):
        grid_points(Space.restricted(large))
