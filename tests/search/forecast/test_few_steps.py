from types import SimpleNamespace
from typing import Any, cast

import pytest

from slimtune.search.forecast.few_steps import training_doubts
from slimtune.search.settings.config import make_config
from slimtune.spaces.presets import PRESETS
from slimtune.workload.types import Workload


def doubts(images: int, preset: str | None = None, **space: Any) -> list[str]:
    workload = cast(Workload, SimpleNamespace(train=range(images)))
    return training_doubts(make_config({"space": space} if space else {}, preset), workload)


def test_13_steps_an_epoch_are_too_few_for_the_default_epochs() -> None:
    (line,) = doubts(1600)
    assert line == (
        "space.train.epochs: 3 epochs of 13 steps (1600 images, 128 a step) are 39, and fewer "
        "than 50 steps recover little of what pruning costs; give --set space.train.epochs=4, or "
        "--set space.train.batch_size=64"
    )


@pytest.mark.parametrize(
    "cured", [{"epochs": 4}, {"batch_size": 64}, {"epochs": [1, 4]}, {"batch_size": [64, 32]}]
)
def test_the_way_out_leads_out(cured: dict[str, Any]) -> None:
    assert doubts(1600, train=cured) == []


@pytest.mark.parametrize(("images", "ways"), [(2, 1), (100, 1), (300, 2), (880, 2), (2000, 2)])
def test_every_small_set_is_told_with_ways_that_are_there(images: int, ways: int) -> None:
    line = doubts(images)[0]
    assert "space.train.epochs" in line and line.count("--set") == ways


def test_a_learning_rate_that_moves_nothing_is_told() -> None:
    assert doubts(50000, train={"lr": 1e-5}) == [
        "space.train.lr: 1e-05 moves next to nothing in 1173 steps; give at least 6e-05, or more "
        "epochs"
    ]
    assert doubts(50000, train={"lr": 6e-5}) == []
    assert doubts(50000, train={"lr": 1e-5, "optimizer": "adamw"}) == []  # of other units


def test_a_penalty_that_moves_no_scale_is_told_with_one_that_does() -> None:
    weak = {"method": "bn_scale", "bn_scale": {"sparsity": 1e-4}}
    (line,) = doubts(40000, prune=weak)
    assert line.startswith("space.prune.bn_scale.sparsity: 0.0001 moves a scale by at most 0.02 ")
    assert "by |gamma| alone; give 0.0004 or more" in line
    (few,) = [line for line in doubts(60, prune=weak, train={"lr": 0.01}) if "bn_scale" in line]
    assert "alone; give more sparsity_epochs, or 0 to save them" in few  # no penalty is enough
    strong = {"method": "bn_scale", "bn_scale": {"sparsity": 4e-4}}
    assert doubts(40000, prune=strong) == []
    assert doubts(40000, prune={"method": "bn_scale"}) == []
    assert doubts(40000, prune={"method": "bn_scale", "sparsity_epochs": 0}) == []


def test_what_is_never_fine_tuned_needs_no_steps() -> None:
    plain = {"prune": {"method": "none"}, "distill": {"method": "none"}}
    assert doubts(100, **plain) == []
    assert doubts(100, train={"epochs": 0}, distill={"method": "none"}) == []


@pytest.mark.parametrize("preset", list(PRESETS))
def test_no_preset_is_doubtful_on_its_own_data(preset: str) -> None:
    assert doubts(880, preset) == []
