from dataclasses import replace

import optuna
import pytest

from slimtune.compression.recipe import Recipe
from slimtune.errors import ConfigError
from slimtune.spaces.domains import Choice
from slimtune.spaces.space import Space, suggest_recipe
from slimtune.spaces.start import read_points, single_points

NAMES = {
    "prune": ["none", "l1", "taylor"],
    "quantize": ["none", "gpfq"],
    "distill": ["none", "base"],
}
ONE = {
    "prune": {"method": "l1", "amount": 0.5},
    "quantize": {"method": "none"},
    "distill": {"method": "none"},
}
WIDE = {stage: {"method": "all"} for stage in NAMES} | {"order": ["spq", "ppq"]}
SPACE = Space.restricted({stage: {"method": names} for stage, names in NAMES.items()})


def recipe_of(point, space=SPACE) -> Recipe:
    return suggest_recipe(optuna.trial.FixedTrial({"train.recalibrate": None, **point}), space)


def test_the_baseline_comes_first_then_pruning_and_quantizing_by_turns_then_distilling() -> None:
    words = [recipe_of(point).describe() for point in single_points(SPACE, 100)]
    assert words == ["unchanged", "l1 45%", "gpfq 4b", "taylor 45%", "KD base T=4 α=0.5"]


def test_numbers_are_in_the_middle_of_their_ranges() -> None:
    pruned = recipe_of(single_points(SPACE, 2)[1])
    assert pruned.prune is not None and pruned.prune.amount == 0.45  # of 0.1..0.8 by 0.05
    assert pruned.train.lr == pytest.approx((0.003 * 0.1) ** 0.5)


def test_there_are_no_more_points_than_asked_for_and_none_is_there_twice() -> None:
    assert single_points(SPACE, 0) == []
    assert single_points(SPACE, 2) == single_points(SPACE, 100)[:2]
    assert len(single_points(Space.restricted(ONE), 100)) == 1


def test_a_point_that_no_recipe_may_be_is_left_out() -> None:
    space = Space.restricted({"prune": {"schedule": "soft"}, "distill": {"method": "none"}})
    untrained = {**space.stages["train"], "epochs": Choice((0,))}  # which `restricted` refuses
    space = replace(space, stages={**space.stages, "train": untrained})
    words = [recipe_of(point, space).describe() for point in single_points(space, 100)]
    assert words[0] == "unchanged" and not any("l1" in word for word in words)


def test_what_the_space_insists_on_is_in_every_point() -> None:
    space = Space.restricted({"distill": {"method": "base"}, "prune": {"method": ["l1", "l2"]}})
    points = [recipe_of(point, space) for point in single_points(space, 100)]
    assert all(recipe.distill.needs_teacher and recipe.prune is not None for recipe in points)


@pytest.mark.parametrize("restriction", [{}, WIDE])
def test_every_point_lies_in_its_space(restriction) -> None:
    space = Space.restricted(restriction)
    points = single_points(space, 100)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    for point in points:
        study.enqueue_trial(point)
        trial = study.ask()
        suggest_recipe(trial, space)
        assert trial.params == pytest.approx(point)
    keys = {recipe_of(point, space).key() for point in points}
    assert len(keys) == len(points) > 8


def test_a_given_recipe_is_read_back_as_it_is() -> None:
    recipe = {
        "prune": {"method": "taylor", "amount": 0.3, "scope": "global"},
        "quantize": "gpfq",
        "distill": {"method": "base", "alpha": 0.9, "temperature": 4},
        "train": {"lr": 0.02, "epochs": 3},
    }
    point = read_points([recipe], SPACE)[0]
    assert point["prune.amount"] == 0.3 and "quantize.gpfq.bits" not in point  # which is drawn
    made = recipe_of({**point, "quantize.gpfq.bits": 3})
    assert made.train.lr == 0.02 and made.describe() == "taylor 30% → gpfq 3b → KD base T=4 α=0.9"


def test_numbers_given_as_text_are_read_as_in_a_recipe() -> None:
    recipe = {
        "prune": {"method": "l1", "amount": "0.5", "scope": "local", "round_to": "8"},
        "quantize": {"method": "gpfq", "bits": "3"},
        "distill": {"method": "base", "temperature": "4", "alpha": "0.9"},
        "train": {"epochs": "3", "lr": "1e-2"},
    }
    point = read_points([recipe], SPACE)[0]
    assert point["prune.amount"] == 0.5 and point["quantize.gpfq.bits"] == 3
    assert point["distill.base.temperature"] == 4 and point["train.lr"] == 0.01
    made = recipe_of(point)
    assert made.train.epochs == 3 and made.describe() == "l1 50% → gpfq 3b → KD base T=4 α=0.9"


def test_a_stage_that_a_recipe_leaves_out_does_nothing() -> None:
    assert recipe_of(read_points([{}], SPACE)[0]).describe() == "unchanged"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"prune": "fpgm"}, r"start.1.prune.method: must be one of none, l1, taylor in the"),
        ({"prune": {"method": "l1", "amount": 0.95}}, r"prune.amount: must be in 0.1..0.8"),
        ({"prune": {"method": "l1", "amount": 0.33}}, r"in steps of 0.05 .* but got 0.33"),
        ({"prune": {"method": "l1", "amuont": 0.3}}, r"start.1.prune.amuont: unknown key"),
        ({"prune": {"method": "l1", "round_to": 4}}, r"start.1.prune.round_to: must be 8 in the"),
        ({"prune": "l1", "order": "spq"}, r"start.1.order: order|start.1.order: spq"),
        ({"student": "resnet8"}, r"start.1.student.model: must be 'baseline' in the search space"),
        ({"prune": {"method": "taylr"}}, r"start.1.prune.method: .*Did you mean 'taylor'"),
        ({"train": {"lr": 0.05}}, r"start.1.train.lr: must be .* but got 0.05; leave it out"),
        ({"prune": {"method": "l1", "amount": "0.33"}}, r"in steps of 0.05 .* but got 0.33"),
        ({"prune": {"method": "l1", "amount": "half"}}, r"start.1.prune.amount: .*number.*'half'"),
        ({"train": {"epochs": 1}}, r"start.1.train.epochs: must be 0 .* is not fine-tuned"),
    ],
)  # fmt: skip
def test_a_recipe_outside_the_space_is_refused_in_one_line(recipe, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_points([{}, recipe], SPACE)
    assert "\n" not in str(caught.value)
