import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.compression.lengthening import lengthened
from slimtune.compression.pruning import PRUNING
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.recipe import Recipe

LEARNED = {
    "prune": {
        "method": "group_norm",
        "schedule": "incremental",
        "steps": 3,
        "step_epochs": 1,
        "sparsity_epochs": 2,
    },
    "quantize": {"method": "apot", "epochs": 3},
    "train": {"epochs": 3},
}


def epochs_of(recipe: Recipe) -> dict[str, int]:
    prune = recipe.prune
    return {
        "train": recipe.train.epochs,
        "quantize": recipe.quantize.epochs,
        "step": prune.step_epochs if prune else 0,
        "sparsity": prune.method.sparsity_epochs if prune else 0,
    }


def test_every_fine_tune_is_lengthened_in_the_ratio_of_the_longest() -> None:
    longer = lengthened(Recipe.from_dict(LEARNED), 3, 30)
    assert epochs_of(longer) == {"train": 30, "quantize": 30, "step": 10, "sparsity": 20}


def test_a_stage_that_was_not_cut_gets_no_more_than_the_full_length() -> None:
    cut = Recipe.from_dict({**LEARNED, "train": {"epochs": 1}})
    longer = lengthened(cut, 1, 6)
    assert epochs_of(longer) == {"train": 6, "quantize": 6, "step": 6, "sparsity": 6}
    assert lengthened(cut, 1, 2).quantize.epochs == 3  # nor fewer than it had


def test_the_same_length_changes_nothing() -> None:
    recipe = Recipe.from_dict(LEARNED)
    assert lengthened(recipe, 3, 3) == recipe
    assert lengthened(recipe, 0, 0) == recipe


def test_what_trains_nothing_still_trains_nothing() -> None:
    recipe = Recipe.from_dict(
        {"prune": {"method": "l1"}, "quantize": {"method": "gpfq"}, "train": {"epochs": 0}}
    )
    longer = lengthened(recipe, 3, 30)
    assert (longer.epochs, longer.train, longer.quantize) == (0, recipe.train, recipe.quantize)


def test_steps_that_are_not_taken_keep_their_setting() -> None:
    recipe = Recipe.from_dict({"prune": {"method": "l1"}, "train": {"epochs": 1}})
    assert lengthened(recipe, 1, 9).prune == recipe.prune


@given(cheap=st.integers(1, 50), factor=st.integers(1, 20), own=st.integers(0, 50))
def test_nothing_else_changes_and_no_fine_tune_is_shortened(
    cheap: int, factor: int, own: int
) -> None:
    recipe = Recipe.from_dict({**LEARNED, "train": {"epochs": own}})
    longer = lengthened(recipe, cheap, cheap * factor)
    before, after = epochs_of(recipe), epochs_of(longer)
    assert all(after[stage] >= before[stage] for stage in before)
    assert all(after[stage] <= max(before[stage], cheap * factor) for stage in before)
    assert dataclasses.replace(longer.train, epochs=own) == recipe.train
    assert longer.distill == recipe.distill and longer.order == recipe.order


@pytest.mark.parametrize("name", [name for name in PRUNING if name != "none"])
def test_every_pruning_method_can_be_lengthened_to_the_end_of_the_range(name: str) -> None:
    own = PRUNING[name]
    names = {field.name for field in dataclasses.fields(own)}
    sparse = {"sparsity_epochs": 1} if "sparsity_epochs" in names else {}
    prune = {"method": name, "schedule": "incremental", **sparse}
    recipe = Recipe.from_dict({"prune": prune, "train": {"epochs": 1}})
    longer = lengthened(recipe, 1, 1000)
    assert Recipe.from_dict(longer.to_dict()) == longer
    assert (longer.train.epochs, longer.prune and longer.prune.step_epochs) == (1000, 100)


@pytest.mark.parametrize("name", list(QUANTIZATION))
def test_every_quantizer_can_be_lengthened_to_the_end_of_the_range(name: str) -> None:
    recipe = Recipe.from_dict({"quantize": {"method": name}, "train": {"epochs": 1}})
    longer = lengthened(recipe, 1, 1000)
    assert Recipe.from_dict(longer.to_dict()) == longer
    assert longer.quantize.epochs == (1000 if recipe.quantize.epochs else 0)


def test_by_the_epoch_more_epochs_remove_as_much_in_smaller_shares() -> None:
    prune = {"method": "l1", "schedule": "per_epoch", "rate": 0.2}
    recipe = Recipe.from_dict({"prune": prune, "train": {"epochs": 4}})
    longer = lengthened(recipe, 4, 16)
    assert longer.train.epochs == 16 and longer.prune is not None
    assert longer.prune.rate < 0.1 and longer.amount == pytest.approx(recipe.amount)
    assert lengthened(recipe, 4, 4) == recipe
