import copy
from typing import Any

import pytest
import torch

from slimtune.compression.pipeline import Compressed, compress
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.recipe import Recipe
from slimtune.compression.rungs import (
    Monitor,
    Place,
    Rung,
    is_certain,
    is_rung,
    is_settled_by_training,
    restored_randomness,
    rounded_accuracy,
    rounds_later,
    rung_name,
    total_epochs,
    without_training,
)
from slimtune.conditions import Conditions
from slimtune.measurement.runtime import observe_ranges
from slimtune.workload.types import Workload

TRAIN = {"epochs": 1, "batch_size": 256}
TOLERANCE = 0.02
"""Of the size that is foreseen, for all quantizers but one."""
GPFQ_TOLERANCE = 0.15
"""Which of its integers are 0 depends on what the trained layers read; most with few bits."""


class Watcher:
    """Takes all that it is shown."""

    def __init__(self) -> None:
        self.foreseen: list[tuple[Compressed, bool]] = []
        self.rungs: list[Rung] = []

    def made(self, workload: Workload, recipe: dict[str, Any], **more: Any) -> Compressed:
        torch.set_num_threads(1)
        monitor = Monitor(lambda made, certain: self.foreseen.append((made, certain)), self._reach)
        return compress(
            workload,
            Recipe.from_dict(recipe),
            Conditions(seed=5),
            observe=observe_ranges,
            monitor=monitor,
            **more,
        )

    def _reach(self, rung: Rung) -> None:
        self.rungs.append(rung)


def test_rungs_are_the_powers_of_two_and_the_end() -> None:
    assert [epoch for epoch in range(1, 21) if is_rung(epoch, 20)] == [1, 2, 4, 8, 16, 20]


@pytest.mark.parametrize(
    ("recipe", "stage", "epoch", "name"),
    [
        ({}, "fine-tune", 2, "fine-tune 2/4"),
        ({}, "fine-tune", 3, ""),
        ({}, "fine-tune", 4, "fine-tune"),
        ({"prune": {"method": "l1", "schedule": "soft"}}, "fine-tune", 2, "soft fine-tune 2/4"),
        (
            {"prune": {"method": "l1", "schedule": "incremental", "steps": 4}},
            "recover 2",
            4,
            "recover 2 of 3",
        ),
        ({"prune": "bn_scale"}, "sparsify", 4, ""),
        ({"quantize": "lsq", "order": "spq"}, "fine-tune", 1, "quantized fine-tune 1/4"),
        ({"quantize": "lsq"}, "quantize", 1, "quantize 1/4"),
    ],
)
def test_a_rung_tells_apart_what_cannot_be_compared(
    recipe: dict[str, Any], stage: str, epoch: int, name: str
) -> None:
    assert rung_name(Recipe.from_dict(recipe), Place(stage, epoch, 4)) == name


@pytest.mark.parametrize(
    ("prune", "late", "certain"),
    [
        ({"method": "l1", "scope": "global"}, False, True),
        ({"method": "l1", "scope": "global", "schedule": "incremental"}, True, False),
        ({"method": "l1", "scope": "local", "schedule": "soft"}, True, True),
        ({"method": "bn_scale", "scope": "global"}, True, False),
        ({"method": "none"}, False, True),
    ],
)
def test_a_structure_that_training_settles_is_certain_if_each_layers_count_is(
    prune: dict[str, Any], late: bool, certain: bool
) -> None:
    recipe = Recipe.from_dict({"prune": prune})
    assert (is_settled_by_training(recipe), is_certain(recipe)) == (late, certain)


def test_all_epochs_count_those_before_pruning_and_between_its_steps_too() -> None:
    prune = {"method": "bn_scale", "sparsity_epochs": 2, "schedule": "incremental", "steps": 3}
    recipe = {"prune": prune, "quantize": {"method": "lsq", "epochs": 5}, "train": {"epochs": 4}}
    assert total_epochs(Recipe.from_dict(recipe)) == 2 + 2 * 1 + 4 + 5


@pytest.mark.parametrize("name", list(QUANTIZATION))
def test_the_size_is_foreseen_before_training(digits: Workload, name: str) -> None:
    quantize: dict[str, Any] = {"method": name}
    if hasattr(QUANTIZATION[name](), "first_last_bits"):
        quantize["bits"] = 3
    if QUANTIZATION[name].trains:
        quantize["epochs"] = 1
    watcher = Watcher()
    recipe = {"prune": {"method": "l1", "amount": 0.3}, "quantize": quantize, "train": TRAIN}
    made = watcher.made(digits, recipe)
    [(foreseen, certain)] = watcher.foreseen
    tolerance = GPFQ_TOLERANCE if name == "gpfq" else TOLERANCE
    assert certain and len(foreseen.onnx) == pytest.approx(len(made.onnx), rel=tolerance)
    assert foreseen.weight_bits == made.weight_bits and foreseen.kept == made.kept
    assert foreseen.history == []


@pytest.mark.parametrize(
    "recipe",
    [
        {"prune": {"method": "l1", "schedule": "incremental", "steps": 2}},
        {"prune": {"method": "fpgm", "schedule": "soft"}},
        {"prune": {"method": "bn_scale"}, "quantize": {"method": "lsq", "epochs": 1}},
        {"prune": {"method": "l1"}, "quantize": {"method": "apot", "epochs": 0}, "order": "spq"},
        {"prune": {"method": "l1_unstructured", "amount": 0.8, "scope": "global"}},
    ],
)
def test_a_structure_that_comes_late_is_foreseen_on_a_pruned_copy(
    digits: Workload, recipe: dict[str, Any]
) -> None:
    watcher = Watcher()
    made = watcher.made(digits, {**recipe, "train": TRAIN})
    [(foreseen, certain)] = watcher.foreseen
    assert certain and len(foreseen.onnx) == pytest.approx(len(made.onnx), rel=TOLERANCE)


WATCHED = [
    {"distill": "attention", "quantize": {"method": "apot", "epochs": 1}, "prune": "random"},
    {"prune": {"method": "taylor", "schedule": "soft"}, "quantize": "gpfq"},
    {"prune": {"method": "bn_scale", "schedule": "incremental"}, "quantize": "int8_static"},
    {"prune": "l1", "quantize": {"method": "pact", "epochs": 1}, "order": "spq"},
]


@pytest.mark.parametrize("recipe", WATCHED)
def test_a_trial_that_is_looked_at_makes_the_same_file_to_the_bit(
    digits: Workload, recipe: dict[str, Any]
) -> None:
    train = {"epochs": 2, "batch_size": 256, "dropout": 0.2, "mixup": 0.2, "recalibrate": True}
    if "distill" in recipe:
        train |= {"mixup": 0.0}
    watcher = Watcher()
    watched = watcher.made(digits, {**recipe, "train": train})
    assert watcher.foreseen and watcher.rungs
    whole = Recipe.from_dict({**recipe, "train": train})
    alone = compress(digits, whole, Conditions(seed=5), observe=observe_ranges)
    assert watched.onnx == alone.onnx and watched.history == alone.history


def test_rungs_come_as_long_as_there_is_training_ahead(digits: Workload) -> None:
    watcher = Watcher()
    recipe = {"quantize": {"method": "lsq", "epochs": 2}, "prune": "l1", "train": TRAIN}
    watcher.made(digits, {**recipe, "train": {**TRAIN, "epochs": 3}})
    seen = [(rung.name, rung.epochs, rung.left) for rung in watcher.rungs]
    assert seen == [
        ("fine-tune 1/3", 1, 4),
        ("fine-tune 2/3", 2, 3),
        ("fine-tune", 3, 2),
        ("quantize 1/2", 4, 1),
    ]


def test_nothing_is_foreseen_where_nothing_is_trained(digits: Workload) -> None:
    watcher = Watcher()
    watcher.made(digits, {"quantize": "int8_static", "train": {"epochs": 0}})
    assert watcher.foreseen == watcher.rungs == []


def test_accuracy_at_least_is_what_rounding_alone_leaves(digits: Workload) -> None:
    watcher = Watcher()
    recipe = {"distill": "base", "train": {**TRAIN, "epochs": 2, "lr": 0.001}}
    watcher.made(digits, {"quantize": {"method": "gpfq", "bits": 2}, **recipe})
    [rung] = watcher.rungs
    assert rung.at_least < rung.accuracy
    watcher.made(digits, {"quantize": "int8_static", **recipe})
    assert watcher.rungs[-1].at_least == watcher.rungs[-1].accuracy


def test_only_weights_of_few_bits_are_doubted_and_only_until_they_are_rounded() -> None:
    def later(quantize: Any, stage: str = "fine-tune", **more: Any) -> bool:
        return rounds_later(Recipe.from_dict({"quantize": quantize, **more}), stage)

    assert later({"method": "gpfq", "bits": 4}) and later("lsq")
    assert later({"method": "gpfq", "bits": 8, "stage_bits": "8-3"})
    assert not later("none") and not later("float16") and not later("int8_static")
    assert not later("lsq", "quantize") and not later("lsq", order="spq")


def test_looking_at_rounded_weights_leaves_the_network_alone(digits: Workload) -> None:
    network = copy.deepcopy(digits.baseline)
    before = copy.deepcopy(network.state_dict())
    rounded_accuracy(
        network, QUANTIZATION["lsq"](bits=2).quick(), torch.randn(16, 1, 8, 8), digits
    )
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert type(network) is type(digits.baseline)


def test_an_untrained_recipe_has_the_same_bits_and_prunes_at_once() -> None:
    prune = {"method": "bn_scale", "schedule": "soft"}
    quick = without_training(
        Recipe.from_dict({"prune": prune, "quantize": {"method": "gpfq", "bits": 3}})
    )
    assert quick.prune is not None and quick.prune.schedule == "one_shot"
    assert quick.quantize.bits == 3 and quick.quantize.calibration_images == 16


def test_randomness_goes_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(3)
    with restored_randomness("cpu"):
        torch.rand(5)
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), drawn)
