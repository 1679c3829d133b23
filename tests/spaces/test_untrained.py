"""What costs no training comes first."""

from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial

from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.recipe import Recipe
from slimtune.compression.rungs import total_epochs
from slimtune.spaces.space import Space, suggest_recipe
from slimtune.spaces.untrained import MOST, first_points, untrained_recipes

DEFAULT = ["gpfq 4b", "int8_static", "gpfq 3b"]


def words(points: Any, restriction: dict[str, Any] | None = None) -> list[str]:
    space = Space.restricted(restriction or {})
    return [suggest_recipe(FixedTrial(point), space).describe() for point in points]


def first(trials: int, plain: int, restriction: dict[str, Any] | None = None) -> list[str]:
    space = Space.restricted(restriction or {})
    return words(first_points(space, trials, plain), restriction)


def test_a_search_of_14_trials_tries_plain_quantization_after_the_baseline() -> None:
    assert first(14, 1) == ["unchanged", *DEFAULT]


def test_one_trial_is_the_most_promising_and_never_more_than_half_are_untrained() -> None:
    assert first(1, 0) == DEFAULT[:1] and first(3, 0) == DEFAULT[:1]
    assert first(4, 0) == DEFAULT[:2] and first(7, 0) == DEFAULT


def test_long_searches_go_on_with_the_plain_recipes_that_train() -> None:
    assert first(80, 10)[:6] == ["unchanged", *DEFAULT, "l1 45%", "fpgm 45%"]
    assert len(first(80, 10)) == len(set(first(80, 10))) == 10


@pytest.mark.parametrize(
    ("quantize", "expected"),
    [
        ({"method": "all"}, ["gpfq 4b", "int8_static", "rtn 4b", "int8_dynamic"]),
        ({"method": ["none", "rtn"], "bits": [8, 2]}, ["rtn 8b"]),
        ({"method": ["none", "rtn"], "bits": 2}, ["rtn 2b"]),  # the user's own wish, and cheap
        (
            {"method": "gpfq", "bits": {"low": 2, "high": 8}},
            ["gpfq 4b", "gpfq 8b", "gpfq 3b", "gpfq 6b"],
        ),
        ({"method": ["float16", "int8_dynamic"]}, ["int8_dynamic", "float16"]),
        ({"method": ["none", "lsq"]}, []),
        ({"method": "none"}, []),
    ],
)
def test_widths_and_methods_come_by_their_promise_within_the_users_space(
    quantize: dict[str, Any], expected: list[str]
) -> None:
    restriction = {"quantize": quantize}
    points = untrained_recipes(Space.restricted(restriction), MOST).values()
    assert words(points, restriction) == expected


@pytest.mark.parametrize(
    "restriction",
    [{"prune": {"method": "l1"}}, {"distill": {"method": "base"}}, {"student": {"model": "b"}}],
)
def test_where_the_space_insists_on_training_nothing_is_untrained(
    restriction: dict[str, Any],
) -> None:
    assert untrained_recipes(Space.restricted(restriction), MOST) == {}


def test_where_nothing_is_trained_batch_norms_are_measured_again() -> None:
    study = optuna.create_study()
    for point in untrained_recipes(Space(), MOST).values():
        study.enqueue_trial(point)
        recipe = suggest_recipe(study.ask(), Space()).effective()
        assert recipe.train.recalibrate is (recipe.quantize.bits <= 8)
    trained = {"prune": "l1", "train": {"epochs": 2, "recalibrate": None}}
    assert Recipe.from_dict(trained).effective().train.recalibrate is False


@pytest.mark.parametrize("every", [{}, {s: {"method": "all"} for s in ("prune", "quantize")}])
def test_every_recipe_lies_in_its_space_and_trains_nothing(every: dict[str, Any]) -> None:
    space = Space.restricted(every | {"train": {"recalibrate": [False, True]}})
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    found = untrained_recipes(space, 100)
    for key, point in found.items():
        study.enqueue_trial(point)
        trial = study.ask()
        recipe = suggest_recipe(trial, space)
        assert trial.params == point and recipe.key() == key
        assert total_epochs(recipe) == 0 and recipe.prune is None
        assert not recipe.quantize.trains and recipe != Recipe()
    assert len(found) == len({point["quantize.method"] for point in found.values()}) + len(
        {"gpfq", "rtn"} & {point["quantize.method"] for point in found.values()}
    )
    assert set(QUANTIZATION) >= {point["quantize.method"] for point in found.values()}
