import pytest

from slimtune.spaces.grid import grid_points
from slimtune.spaces.size import space_size
from slimtune.spaces.space import Space

SPACES = [
    {},
    {"prune": {"schedule": ["one_shot", "incremental", "soft"], "steps": [2, 3, 4]}},
    {"prune": {"method": ["none", "l1", "n_m", "l1_unstructured"], "scope": ["local", "stage"]}},
    {"order": ["ppq", "spq"], "quantize": {"method": ["none", "lsq"], "epochs": [1, 2]}},
    {
        "train": {"mixup": [0.0, 0.2], "label_smoothing": [0.0, 0.1]},
        "distill": {"alpha": [0.0, 1]},
    },
    {"train": {"schedule": ["cosine", "step"], "decay": [0.1, 0.2, 0.3]}},
    {"quantize": {"method": ["gpfq", "apot"], "bits": [3, 4], "stage_bits": ["", "8-4"]}},
]
STATISTICS = [[None, True], [False, True], [None, False], [None, False, True], [True, None]]
SPACES += [{"train": {"recalibrate": values, "epochs": [0, 3]}} for values in STATISTICS]
FINITE = {"lr": [0.01, 0.1]}
SMALL_DISTILL = {"method": ["none", "base"], "alpha": [0.5, 0.9], "temperature": [2, 4]}


@pytest.mark.parametrize("restriction", SPACES)
def test_a_finite_space_has_as_many_recipes_as_a_grid_lists(restriction: dict) -> None:
    whole = {
        "prune": {"method": ["none", "l1", "fpgm"], "amount": [0.2, 0.4, 0.6]},
        "quantize": {"method": ["none", "gpfq"]},
        "distill": {"method": "none"} if restriction in SPACES[-5:] else SMALL_DISTILL,
        "train": FINITE,
    }
    for stage, row in restriction.items():
        whole[stage] = {**whole.get(stage, {}), **row} if isinstance(row, dict) else row
    space = Space.restricted(whole, listed=True)
    size = space_size(space)
    assert (size.recipes, size.continuous, size.is_exact) == (len(grid_points(space)), (), True)
    assert str(size) == f"{size.recipes:,} recipes"


def test_continuous_dimensions_are_named_and_counted_once() -> None:
    finite = {"distill": SMALL_DISTILL, "train": {"lr": 0.01}}
    fixed = space_size(Space.restricted(finite, listed=True))
    free = space_size(Space.restricted({"distill": SMALL_DISTILL}, listed=True))
    assert free.recipes == fixed.recipes and free.continuous == ("train.lr",)
    assert str(free).startswith("continuous in train.lr; besides, ")


def test_a_space_too_large_to_look_at_is_told_as_more_than_that() -> None:
    every = {stage: {"method": "all"} for stage in ("prune", "quantize", "distill")}
    size = space_size(Space.restricted(every), most=50)
    assert not size.is_exact and "more than" in str(size)


def test_a_dimension_without_effect_is_neither_counted_nor_named() -> None:
    alone = {"prune": {"method": "none"}, "quantize": {"method": "none"}}
    size = space_size(Space.restricted({**alone, "distill": {"method": "none"}}))
    assert (size.recipes, size.continuous) == (1, ())  # nothing pruned or taught: no training
