"""What the key of a snapshot depends on, and what it does not."""

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.search.trial.snapshot_key import (
    run_origin,
    snapshot_facts,
    snapshot_key,
    source_hash,
    surroundings,
)
from slimtune.search.trial.spec import TrialSpec
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Architecture, Augmentation, Workload
from slimtune.workload.zoo.build import build
from tests.search.trial.shared_recipe import DATA, RECIPE, SPEC, TRAIN


def key_of(
    workload: Workload,
    spec: TrialSpec = SPEC,
    data: str = DATA,
    done: str = "train",
    recipe: Mapping[str, Any] = RECIPE,
) -> str:
    origin = run_origin(workload, data)
    return snapshot_key(snapshot_facts(origin, spec, Recipe.from_dict(recipe), done))


def with_baseline(workload: Workload, change: Any) -> Workload:
    network = copy.deepcopy(workload.baseline)
    change(network)
    return dataclasses.replace(workload, baseline=network)


def heavier(network: nn.Module) -> None:
    next(network.parameters()).data[0] += 1e-3


def strider(network: nn.Module) -> None:
    layer = next(m for m in network.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2))
    layer.stride = (1, 1)


def other_code(network: nn.Module) -> None:
    network.add_module("own", OwnLayer())  # a class of this file


class OwnLayer(nn.Module):
    """Computes nothing; its source is this test's."""


ANOTHER_RECIPE: dict[str, Mapping[str, Any]] = {
    "the amount": {"prune": {"method": "l1", "amount": 0.45}},
    "the method": {"prune": {"method": "l2", "amount": 0.5}},
    "the scope": {"prune": {"method": "l1", "amount": 0.5, "scope": "global"}},
    "alpha": {"distill": {"method": "base", "alpha": 0.5}},
    "no distillation": {"distill": {"method": "none"}},
    "the learning rate": {"train": {**TRAIN, "lr": 0.02}},
    "the epochs": {"train": {**TRAIN, "epochs": 2}},
    "the batch size": {"train": {**TRAIN, "batch_size": 128}},
    "mixup": {"train": {**TRAIN, "mixup": 0.2}},
    "dropout": {"train": {**TRAIN, "dropout": 0.1}},
    "another student": {"student": {"model": "resnet20"}},
}


@pytest.mark.parametrize("what", ANOTHER_RECIPE)
def test_another_beginning_of_the_recipe_has_another_key(digits: Workload, what: str) -> None:
    changed = {**RECIPE, **ANOTHER_RECIPE[what]}
    assert key_of(digits, recipe=changed) != key_of(digits)


@pytest.mark.parametrize(
    "end",
    [
        {"quantize": {"method": "none"}},
        {"quantize": {"method": "lsq", "bits": 3}},
        {"train": {**TRAIN, "recalibrate": True}},
    ],
)
def test_another_end_of_the_recipe_has_the_same_key(
    digits: Workload, end: Mapping[str, Any]
) -> None:
    assert key_of(digits, recipe={**RECIPE, **end}) == key_of(digits)


@pytest.mark.parametrize(
    "change",
    [
        {"prefix_seed": 6},
        {"prefix_seed": None},
        {"threads": 2},
        {"device": "mps"},
    ],
    ids=str,
)
def test_another_seed_thread_count_or_device_has_another_key(
    digits: Workload, change: Mapping[str, Any]
) -> None:
    changed = dataclasses.replace(SPEC.conditions, **change)
    assert key_of(digits, dataclasses.replace(SPEC, conditions=changed)) != key_of(digits)


def test_the_trials_own_seed_and_number_count_only_without_a_shared_one(digits: Workload) -> None:
    other = TrialSpec(3, RECIPE, dataclasses.replace(SPEC.conditions, seed=2))
    assert key_of(digits, other) == key_of(digits)
    alone, other = (TrialSpec(0, RECIPE, Conditions(seed=seed)) for seed in (1, 2))
    assert key_of(digits, alone) != key_of(digits, other)


def test_other_data_or_augmentation_has_another_key(digits: Workload) -> None:
    assert key_of(digits, data="1" * 64) != key_of(digits)
    flipped = dataclasses.replace(digits, augmentation=Augmentation(flip=True))
    assert key_of(flipped) != key_of(digits)


@pytest.mark.parametrize("change", [heavier, strider, other_code])
def test_another_baseline_has_another_key(digits: Workload, change: Any) -> None:
    """Other weights, the same weights in other layers, and layers of other code."""
    assert key_of(with_baseline(digits, change)) != key_of(digits)


def test_another_teacher_has_another_key(digits: Workload) -> None:
    torch.manual_seed(0)
    teacher = build(Architecture("resnet8", 10, 1)).eval()
    taught = dataclasses.replace(digits, teacher=teacher)
    other = dataclasses.replace(digits, teacher=copy.deepcopy(teacher))
    assert other.teacher is not None
    assert key_of(taught) == key_of(other) != key_of(digits)
    heavier(other.teacher)
    assert key_of(other) != key_of(taught)


def test_another_students_weights_count_by_content_and_not_by_name(
    digits: Workload, tmp_path: Path
) -> None:
    network = build(Architecture("resnet20", 10, 1))
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]

    def key() -> str:
        student = {"model": "resnet20", "weights": str(files[0])}
        return key_of(digits, recipe={**RECIPE, "student": student})

    save_weights(network, files[0])
    first = key()
    heavier(network)
    save_weights(network, files[0])
    assert key() != first


def test_code_versions_and_processor_count(digits: Workload, tmp_path: Path) -> None:
    facts = snapshot_facts(run_origin(digits, DATA), SPEC, Recipe.from_dict(RECIPE), "train")
    here = surroundings("cpu")
    assert {"torch", "torchvision", "torch-pruning"} <= here["versions"].keys()
    for name, value in here.items():
        assert facts[name] == value
        assert snapshot_key({**facts, name: "other"}) != snapshot_key(facts)
    (tmp_path / "compression").mkdir()
    file = tmp_path / "compression" / "a.py"
    hashes = set()
    for source in ("x = 1", "x = 2", "x = 1\n"):
        file.write_text(source)
        hashes.add(source_hash(tmp_path))
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "b.py").write_text("shows, and makes nothing")
    assert len(hashes) == 3 and source_hash(tmp_path) in hashes
