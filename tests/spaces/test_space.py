from typing import Any

import optuna
import pytest

from slimtune.compression.recipe import Recipe
from slimtune.errors import ConfigError, UnknownNameError
from slimtune.spaces.domains import Choice, Range
from slimtune.spaces.space import DEFAULT, METHODS, STAGES, Space, suggest_recipe


def draws(space: Space, n: int = 60) -> list[Recipe]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [suggest_recipe(study.ask(), space) for _ in range(n)]


def test_every_draw_of_the_default_space_is_a_valid_recipe_and_all_its_methods_occur() -> None:
    recipes = [recipe.to_dict() for recipe in draws(Space(), 200)]
    for stage, names in DEFAULT.items():
        assert {recipe[stage]["method"] for recipe in recipes} == set(names)


def test_every_draw_of_the_whole_space_is_a_valid_recipe_and_all_methods_occur() -> None:
    every: dict[str, Any] = {stage: {"method": "all"} for stage in METHODS}
    every["prune"]["schedule"] = ["one_shot", "incremental", "soft", "per_epoch"]
    every["prune"]["scope"] = ["local", "stage", "global"]
    every["train"] = {"label_smoothing": [0.0, 0.1], "mixup": [0.0, 0.2]}
    recipes = list(draws(Space.restricted({**every, "order": ["ppq", "spq"]}), 600))
    for stage, rows in METHODS.items():
        assert {recipe.to_dict()[stage]["method"] for recipe in recipes} == set(rows)
    assert {recipe.order for recipe in recipes} == {"ppq", "spq"}


def test_a_setting_without_a_row_can_be_searched_too() -> None:
    space = Space.restricted({"quantize": {"method": "gpfq", "activation_bits": [8, 32]}})
    assert space.methods["quantize"]["gpfq"]["activation_bits"] == Choice((8, 32))
    with pytest.raises(ConfigError, match="space.quantize.temperature: unknown dimension"):
        Space.restricted({"quantize": {"method": "gpfq", "temperature": 2}})


def test_each_method_gets_the_bits_that_it_has() -> None:
    space = Space.restricted({"quantize": {"method": ["gpfq", "apot"], "bits": [4, 8]}})
    assert space.methods["quantize"]["gpfq"]["bits"] == Choice((4, 8))
    assert space.methods["quantize"]["apot"]["bits"] == Choice((4,))
    with pytest.raises(ConfigError, match="space.quantize.bits: .*but got 1"):
        Space.restricted({"quantize": {"method": ["gpfq", "apot"], "bits": [1, 4]}})
    with pytest.raises(ConfigError, match="space.quantize.bits: "):
        Space.restricted({"quantize": {"method": "apot", "bits": [4, 8]}})


def test_a_value_that_no_chosen_method_can_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="space.prune.schedule: n_m removes single weights"):
        Space.restricted({"prune": {"method": "n_m", "schedule": "soft"}})


def test_what_is_neither_pruned_nor_taught_keeps_the_baselines_weights() -> None:
    space = Space.restricted(
        {"prune": {"method": "none"}, "distill": {"method": ["none", "base"]}}
    )
    for recipe in draws(space):
        assert (recipe.train.epochs > 0) == recipe.distill.needs_teacher


def test_a_restriction_narrows_only_what_it_names() -> None:
    space = Space.restricted({"prune": {"method": ["l1"], "amount": [0.2, 0.4]}})
    for recipe in draws(space):
        assert recipe.prune is not None and 0.2 <= recipe.prune.amount <= 0.4
    assert space.methods["distill"] == {n: METHODS["distill"][n] for n in DEFAULT["distill"]}
    assert space.stages["train"] == STAGES["train"]


def test_a_restriction_leaves_the_default_space_alone() -> None:
    before = repr((METHODS, STAGES))
    Space.restricted(
        {"prune": {"method": ["none"]}, "distill": {"alpha": 0.5}, "train": {"lr": 0.1}}
    )
    assert repr((METHODS, STAGES)) == before


def test_a_methods_own_dimension_is_restricted_by_its_name() -> None:
    space = Space.restricted({"distill": {"method": "base", "temperature": [2, 4], "alpha": 0.5}})
    assert space.methods["distill"]["base"] == {
        "alpha": Choice((0.5,)),
        "temperature": Range(2, 4, step=1),
    }


@pytest.mark.parametrize(
    ("restriction", "message"),
    [
        ({"prune": {"amount": [0.9, 0.1]}}, "space.prune.amount: low 0.9 is above high 0.1"),
        (
            {"prune": {"amount": [0.1, 1.0]}},
            "space.prune.amount: must be less than 1, but got 1.0",
        ),
        ({"prune": {"amount": -0.5}}, "space.prune.amount: must be greater than or equal to 0"),
        (
            {"prune": {"scope": ["nowhere"]}},
            "space.prune.scope: must be 'local', 'stage' or 'global'",
        ),
        (
            {"distill": {"temperature": [0, 4]}},
            "space.distill.temperature: must be greater than 0",
        ),
        (
            {"distill": {"alpha": [0.5, 1.5]}},
            "space.distill.alpha: must be less than or equal to 1",
        ),
        ({"quantize": {"bits": [[4], [3]]}}, r"space.quantize.bits: .* but got \[4\]"),
        (
            {"quantize": {"method": ["gpfq", "lsq"], "bits": [{"a": 1}, 3]}},
            "space.quantize.bits: .* but got {'a': 1}",
        ),
        ({"prune": {"method": "bn_scale", "sparsity": [[1], 2]}}, r"sparsity: .* but got \[1\]"),
        ({"prune": {"method": []}}, "space.prune.method: give at least one method"),
        ({"prune": {"amuont": 0.5}}, "space.prune.amuont: .* Did you mean 'amount'"),
        ({"prnue": {}}, "space.prnue: unknown stage. Did you mean 'prune'"),
        ({"prune": 0.5}, "space.prune: must be a mapping"),
        ({"train": {"epochs": [1.5]}}, "space.train.epochs: "),
        ({"train": {"epochs": 0}}, "space.train.epochs: must be at least 1 with distillation"),
        (
            {
                "train": {"epochs": [0, 3]},
                "prune": {"schedule": ["one_shot", "soft"]},
                "distill": {"method": "none"},
            },
            "space.train.epochs: must be at least 1 to prune during training",
        ),
        (
            {"train": {"epochs": [0, 3]}, "order": ["ppq", "spq"], "distill": {"method": "none"}},
            "space.train.epochs: must be at least 1 to prune during training",
        ),
        ([], "space: must be a mapping"),
        ({1: {}}, "space.1: unknown stage"),
        ({"train": {"epochs": {"low": 1, "high": 3, "step": 0.5}}}, "space.train.epochs: "),
    ],
)
def test_a_restriction_that_breaks_a_rule_is_refused(restriction: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Space.restricted(restriction)


def test_an_unknown_method_is_refused_with_a_suggestion() -> None:
    with pytest.raises(
        UnknownNameError, match="space.prune.method: .*'fpmg'. Did you mean 'fpgm'"
    ):
        Space.restricted({"prune": {"method": ["fpmg"]}})


def test_the_settings_of_a_quantizer_can_be_restricted_too() -> None:
    space = Space.restricted({"quantize": {"method": "int8_static", "calibration_images": 64}})
    assert {recipe.quantize.calibration_images for recipe in draws(space)} == {64}


def test_a_method_that_is_no_name_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown method"):
        Space.restricted({"prune": {"method": [["l1"]]}})


def test_an_integer_setting_may_be_given_as_a_range() -> None:
    space = Space.restricted(
        {"train": {"epochs": {"low": 1, "high": 3}}, "prune": {"round_to": {"low": 4, "high": 16}}}
    )
    assert {recipe.train.epochs for recipe in draws(space)} == {0, 1, 2, 3}


def test_by_the_epoch_a_rate_is_drawn_and_no_amount() -> None:
    prune = {"method": "l1", "schedule": ["one_shot", "per_epoch"], "rate": [0.05, 0.1]}
    space = Space.restricted({"prune": prune, "quantize": {"method": ["none", "lsq"]}})
    seen = set()
    for seed in range(30):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        trial = study.ask()
        recipe = suggest_recipe(trial, space)
        by_the_epoch = recipe.prune is not None and recipe.prune.schedule == "per_epoch"
        seen.add(by_the_epoch)
        assert ("prune.amount" in trial.params, "prune.rate" in trial.params) == (
            not by_the_epoch,
            by_the_epoch,
        )
    assert seen == {True, False}
    with pytest.raises(ConfigError, match="space.prune.amount: with schedule per_epoch"):
        Space.restricted({"prune": {"schedule": "per_epoch", "amount": 0.3}})
    with pytest.raises(ConfigError, match="space.prune.rate: .*but got 1.5"):
        Space.restricted({"prune": {"schedule": "per_epoch", "rate": 1.5}})
    with pytest.raises(ConfigError, match="n_m removes single weights, .* per_epoch"):
        Space.restricted({"prune": {"method": "n_m", "schedule": "per_epoch"}})


def test_a_setting_can_be_given_to_one_method_alone() -> None:
    prune = {"method": ["l1", "bn_scale", "group_norm"], "bn_scale": {"sparsity": [0.01, 0.1]}}
    rows = Space.restricted({"prune": prune}).methods["prune"]
    assert rows["bn_scale"]["sparsity"].ends() == (0.01, 0.1)
    assert rows["group_norm"] == METHODS["prune"]["group_norm"]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"sparsity": 5}, r"space.prune.sparsity: .*but got 5"),
        ({"sparsty": 0.1}, r"space.prune.bn_scale.sparsty: unknown .*Did you mean 'sparsity'"),
        ({"amount": 0.1}, r"space.prune.bn_scale.amount: unknown dimension"),
        ({"sparsity": []}, r"space.prune.bn_scale.sparsity: give at least one value"),
        ({"method": "l1"}, r"space.prune.bn_scale.method: is bn_scale already"),
        (0.1, r"space.prune.bn_scale: must be a mapping, but got 0.1"),
    ],
)
def test_a_wrong_setting_of_one_method_is_named_with_it(own: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Space.restricted({"prune": {"method": ["l1", "bn_scale"], "bn_scale": own}})
    with pytest.raises(ConfigError, match="space.prune.bn_scale: not among the methods"):
        Space.restricted({"prune": {"bn_scale": {"sparsity": 0.01}}})


def test_statistics_are_searched_where_training_follows_and_nowhere_else() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    values = set()
    for _ in range(80):
        trial = study.ask()
        recipe = suggest_recipe(trial, Space.restricted({"prune": {"method": ["none", "l1"]}}))
        trained = recipe.epochs > 0
        assert ("train.recalibrate" in trial.params) == trained
        values.add((trained, recipe.train.recalibrate))
    assert values == {(True, None), (True, True), (False, None)}


@pytest.mark.parametrize(
    ("given", "quantized", "pruned"),
    [
        (None, {None}, {None}),
        (True, {True}, {True}),
        (False, {False}, {False}),
        ([False, True], {False, True}, {False, True}),
        ([None, True], {None}, {None}),  # the same without training
        ([True, None], {None}, {None}),
    ],
)
def test_without_training_a_value_is_drawn_only_if_it_makes_a_difference(
    given: Any, quantized: set[Any], pruned: set[Any]
) -> None:
    space = Space.restricted(
        {
            "prune": {"method": ["none", "l1"]},
            "quantize": {"method": ["none", "int8_static"]},
            "distill": {"method": "none"},
            "train": {"epochs": 0, "recalibrate": given},
        }
    )
    drawn = draws(space, 80)
    assert {r.train.recalibrate for r in drawn if r.prune is not None} == pruned
    only = [r for r in drawn if r.prune is None]
    assert {r.train.recalibrate for r in only if r.quantize.bits == 8} == quantized
    assert {r.train.recalibrate for r in only if r.quantize.bits == 32} == {None}


def test_a_grid_leaves_statistics_unset_unless_they_are_listed() -> None:
    assert Space.restricted({}, listed=True).stages["train"]["recalibrate"] == Choice((None,))
    listed = Space.restricted({"train": {"recalibrate": [None, True]}}, listed=True)
    assert listed.stages["train"]["recalibrate"] == STAGES["train"]["recalibrate"]
