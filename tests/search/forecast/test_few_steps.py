from types import SimpleNamespace
from typing import Any, cast

import pytest
from torch import nn

from slimtune.search.forecast.few_steps import training_doubts
from slimtune.search.settings.config import make_config
from slimtune.spaces.presets import PRESETS
from slimtune.workload.types import Workload

NORMALISED = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
PLAIN = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())


def doubts(
    images: int, preset: str | None = None, network: nn.Module = NORMALISED, **space: Any
) -> list[str]:
    workload = cast(Workload, SimpleNamespace(train=range(images), baseline=network))
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


def test_a_learning_rate_that_is_too_large_is_told_with_one_that_suits() -> None:
    assert doubts(50000, train={"lr": 0.5}) == [
        "space.train.lr: 0.5 is too large with sgd and momentum 0.9: above 0.2 a pruned network "
        "hardly comes back; give 0.1 or less"
    ]
    assert doubts(50000, train={"lr": [0.01, 2]}) == [
        "space.train.lr: 2, the top of its range, is too large with sgd and momentum 0.9: above "
        "0.2 a pruned network hardly comes back; give 0.1 or less"
    ]
    (line,) = doubts(50000, train={"lr": [0.001, 0.1], "optimizer": ["sgd", "adamw"]})
    assert "0.1, the top of its range, is too large with adamw: above 0.02" in line
    assert line.endswith("give 0.01 or less")
    (line,) = doubts(50000, quantize={"method": ["none", "lsq"], "lr": 3.0})
    assert line.startswith("space.quantize.lsq.lr: 3 is too large with sgd")


@pytest.mark.parametrize(
    ("network", "train", "most"),
    [
        (NORMALISED, {"momentum": 0.9}, 0.2),
        (NORMALISED, {"momentum": 0.0}, 2.0),
        (NORMALISED, {"momentum": 0.99}, 0.2),
        (NORMALISED, {"optimizer": "shampoo"}, 0.2),
        (NORMALISED, {"optimizer": "adamw"}, 0.02),
        (PLAIN, {}, 0.02),
        (PLAIN, {"optimizer": "adamw"}, 0.005),
    ],
)
def test_what_is_too_large_depends_on_optimizer_momentum_and_network(
    network: nn.Module, train: dict[str, Any], most: float
) -> None:
    assert doubts(50000, network=network, train={**train, "lr": most}) == []
    (line,) = doubts(50000, network=network, train={**train, "lr": 1.1 * most})
    suitable = float(line.split("give ")[1].split()[0])
    assert ("without normalisation layers" in line) == (network is PLAIN)
    assert doubts(50000, network=network, train={**train, "lr": suitable}) == []


def test_the_default_learning_rates_are_too_large_only_without_normalisation() -> None:
    assert doubts(50000) == []
    (line,) = doubts(50000, network=PLAIN)
    assert line.startswith("space.train.lr: 0.1, the top of its range,")
    other = {"student": {"model": "resnet8"}}  # what it is made of is not known
    assert doubts(50000, network=PLAIN, **other) == []


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
    assert doubts(100, train={"epochs": 0, "lr": 5}, distill={"method": "none"}) == []


@pytest.mark.parametrize("preset", list(PRESETS))
def test_no_preset_is_doubtful_on_its_own_data(preset: str) -> None:
    assert doubts(880, preset) == []
