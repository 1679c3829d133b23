"""What trials share, and that sharing changes no bit."""

import copy
import dataclasses
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.measurement.latency import Latency
from slimtune.results.run import Run
from slimtune.results.store.folder import RunFolder
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.review.rerun import compare, rerun_trial
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Aids, FetchStage, no_stage
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec, shared_seed
from slimtune.search.trial.stage_store import (
    RunStages,
    run_origin,
    source_hash,
    stage_facts,
    stage_key,
    stages_worth_keeping,
    surroundings,
)
from slimtune.search.trial.trial import run_trial
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Architecture, Augmentation, Workload
from slimtune.workload.zoo.build import build

TRAIN = {"epochs": 1, "batch_size": 256}
RECIPE: dict[str, Any] = {
    "prune": {"method": "l1", "amount": 0.5},
    "quantize": {"method": "int8_static"},
    "distill": {"method": "base"},
    "train": TRAIN,
}
SPEC = TrialSpec(0, RECIPE, Conditions(seed=1, prefix_seed=5))
DATA = "0" * 64


def quick(fetch: FetchStage) -> Aids:
    """No time is spent on latency, which no bit depends on."""
    latency = Latency(ms=1.0, rounds=3, accepted=3, stable=True, threads=1)
    return Aids(fetch_stage=fetch, measure_latency=lambda *_, **__: [latency])


def trial(workload: Workload, spec: TrialSpec, fetch: FetchStage = no_stage) -> Outcome:
    outcome = run_trial(workload, spec, quick(fetch), origin=run_origin(workload, DATA))
    assert outcome.status == "complete", outcome.reason
    return outcome


def shipped(outcome: Outcome) -> dict[str, bytes]:
    return {name: data for name, data in outcome.files.items() if name != "log.txt"}


def key_of(
    workload: Workload,
    spec: TrialSpec = SPEC,
    data: str = DATA,
    done: str = "train",
    recipe: Mapping[str, Any] = RECIPE,
) -> str:
    origin = run_origin(workload, data)
    return stage_key(stage_facts(origin, spec, Recipe.from_dict(recipe), done))


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
    facts = stage_facts(run_origin(digits, DATA), SPEC, Recipe.from_dict(RECIPE), "train")
    here = surroundings("cpu")
    assert {"torch", "torchvision", "torch-pruning"} <= here["versions"].keys()
    for name, value in here.items():
        assert facts[name] == value
        assert stage_key({**facts, name: "other"}) != stage_key(facts)
    (tmp_path / "compression").mkdir()
    file = tmp_path / "compression" / "a.py"
    hashes = set()
    for source in ("x = 1", "x = 2", "x = 1\n"):
        file.write_text(source)
        hashes.add(source_hash(tmp_path))
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "b.py").write_text("shows, and makes nothing")
    assert len(hashes) == 3 and source_hash(tmp_path) in hashes


@pytest.mark.parametrize(
    ("recipe", "stages"),
    [
        ({}, ["train"]),
        ({"train": {"epochs": 0}}, []),
        ({"prune": {"method": "l1"}}, ["train"]),
        ({"prune": {"method": "l1"}, "train": {"epochs": 0}}, []),
        ({"prune": {"method": "l1", "schedule": "soft"}}, ["train"]),
        ({"prune": {"method": "l1", "schedule": "incremental"}}, ["prune", "train"]),
        ({"prune": {"method": "l1", "schedule": "incremental", "step_epochs": 0}}, ["train"]),
        (
            {"prune": {"method": "l1", "schedule": "incremental"}, "train": {"epochs": 0}},
            ["train"],
        ),
        ({"prune": {"method": "bn_scale", "sparsity_epochs": 1}}, ["prune", "train"]),
        ({"prune": {"method": "l1"}, "quantize": "apot", "order": "spq"}, []),
        ({"quantize": {"method": "lsq", "epochs": 2}, "train": {"epochs": 0}}, []),
    ],
)
def test_only_what_training_went_into_is_kept(
    recipe: Mapping[str, Any], stages: list[str]
) -> None:
    assert stages_worth_keeping(Recipe.from_dict(recipe)) == stages


KINDS: dict[str, Mapping[str, Any]] = {
    "recovered, distilled, learned bits": {
        "prune": {"method": "l1", "amount": 0.5, "schedule": "incremental", "steps": 2},
        "quantize": {"method": "lsq", "bits": 4, "epochs": 1},
    },
    "sparsity": {
        "prune": {"method": "bn_scale", "sparsity_epochs": 1},
        "distill": {"method": "gram"},
    },
    "soft, learned bits": {
        "prune": {"method": "fpgm", "schedule": "soft"},
        "quantize": {"method": "apot", "bits": 4, "epochs": 1},
    },
    "single weights": {
        "prune": {"method": "l1_unstructured", "amount": 0.8},
        "quantize": {"method": "gpfq", "bits": 4},
    },
    "a student from nothing": {
        "student": {"model": "resnet8b"},
        "prune": {"method": "random", "amount": 0.3},
        "quantize": {"method": "rtn", "bits": 4},
        "train": {**TRAIN, "dropout": 0.1, "mixup": 0.2, "recalibrate": True},
    },
}


SLOW = ["sparsity", "soft, learned bits", "single weights", "a student from nothing"]
CASES = [pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else ()) for kind in KINDS]


@pytest.mark.parametrize("kind", CASES)
def test_a_trial_that_takes_its_beginning_makes_the_bits_of_one_that_does_all(
    digits: Workload, kind: str
) -> None:
    spec = dataclasses.replace(SPEC, recipe={**RECIPE, **KINDS[kind]})
    whole = trial(digits, spec)
    keys = whole.payload.stages
    assert set(whole.stages) == set(keys.values()) and whole.payload.reused == ""
    for done, key in keys.items():
        begun = trial(digits, spec, {key: whole.stages[key]}.get)
        assert begun.payload.reused == done
        assert begun.stages[key] == {} and set(begun.stages) == set(list(keys.values())[-1:]) | {
            key
        }
        assert shipped(begun) == shipped(whole)
        assert f"{done} (from the store)" in begun.files["log.txt"].decode()
    assert shipped(run_trial(digits, spec, quick(no_stage))) == shipped(whole)  # no store at all


def test_a_shared_seed_leaves_what_follows_to_the_trials_own(digits: Workload) -> None:
    learned = {**RECIPE, "quantize": {"method": "lsq", "bits": 4, "epochs": 1}}
    first, second = (
        trial(digits, TrialSpec(0, learned, Conditions(seed=seed, prefix_seed=5)))
        for seed in (1, 2)
    )
    assert first.stages == second.stages
    assert first.files["model.onnx"] != second.files["model.onnx"]


@pytest.mark.parametrize("found", [{}, {"stage.json": b"{}"}, {"stage.json": b"\x00"}, "raises"])
def test_a_store_that_is_damaged_or_gone_is_a_miss(digits: Workload, found: Any) -> None:
    def fetch(key: str) -> Mapping[str, bytes]:
        if found == "raises":
            raise ConnectionError("the host of the store is gone")
        return found

    outcome = trial(digits, SPEC, fetch)
    assert outcome.payload.reused == "" and all(outcome.stages.values())


def test_a_stage_of_another_recipe_under_this_key_is_not_believed(digits: Workload) -> None:
    other = {**RECIPE, "prune": {"method": "l1", "amount": 0.25}}
    [files] = trial(digits, dataclasses.replace(SPEC, recipe=other)).stages.values()
    outcome = trial(digits, SPEC, lambda key: files)
    assert outcome.payload.reused == "" and shipped(outcome) == shipped(trial(digits, SPEC))


def test_a_trial_that_fails_at_its_end_hands_its_beginning_back(digits: Workload) -> None:
    broken = dataclasses.replace(
        SPEC, recipe={**RECIPE, "quantize": {"method": "lsq", "epochs": 1, "lr": 9.9}}
    )
    network = copy.deepcopy(digits.baseline)
    workload = dataclasses.replace(digits, validation=digits.validation.take([]), baseline=network)
    outcome = run_trial(workload, broken, quick(no_stage), origin=run_origin(workload, DATA))
    assert outcome.status == "failed"
    assert outcome.payload.stages.keys() == {"train"} and outcome.payload.reused == ""


GRID = {
    "prune": {"method": "l1", "amount": [0.5], "scope": "local"},
    "quantize": {"method": ["none", "int8_static"], "calibration_images": 64},
    "distill": {"method": "none"},
    "train": {"epochs": 1, "batch_size": 256, "lr": 0.02},
}


def grid(config: SearchConfig, **changes: Any) -> SearchConfig:
    base = {"sampler": "grid", "trials": None, "space": GRID}
    return config.model_copy(update={**base, **changes})


@pytest.fixture(scope="module")
def searched(digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_search(grid(digits_config), tmp_path_factory.mktemp("runs") / "a")


def test_a_grid_over_quantizers_trains_once_and_each_trial_reruns_from_nothing(
    searched: Run,
) -> None:
    first, second = searched.records
    assert [first.reused, second.reused] == ["", "train"]
    shared = first.conditions.prefix_seed
    assert first.stages == second.stages
    assert shared == second.conditions.prefix_seed != first.conditions.seed
    assert searched.folder.checkpoints().keys() == list(first.stages.values())
    assert "fine-tune" in first.seconds and "fine-tune" not in second.seconds
    again = rerun_trial(searched.folder, 1)
    assert again.payload.reused == "" and "fine-tune" in again.payload.seconds
    assert all(file.identical for file in compare(searched.folder, again))


@pytest.mark.slow
def test_a_run_without_a_store_makes_the_same_files(
    digits_config: SearchConfig, searched: Run, tmp_path: Path
) -> None:
    run = run_search(grid(digits_config, stage_store="0"), tmp_path / "b")
    assert not (run.path / "stages").exists()
    for with_store, without in zip(searched.records, run.records, strict=True):
        assert without.reused == "" and without.stages == {}
        ours, theirs = dict(with_store.artifacts), dict(without.artifacts)
        assert ours.pop("log.txt") and theirs.pop("log.txt") and ours == theirs


@pytest.mark.slow
def test_seeds_of_a_grid_share_nothing_across_and_everything_within(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {**GRID, "quantize": {"method": ["none", "float16"]}}
    run = run_search(grid(digits_config, space=space, seeds=(3, 4)), tmp_path / "c")
    rows = [(r.conditions.seed, r.conditions.prefix_seed, r.reused) for r in run.records]
    assert rows == [(3, None, ""), (4, None, ""), (3, None, "train"), (4, None, "train")]
    assert len(run.folder.checkpoints().keys()) == 2
    losses = [(run.folder.trial_path(n) / "history.csv").read_text() for n in range(4)]
    assert losses[0] == losses[2] != losses[1] == losses[3]


@pytest.mark.slow
def test_a_reopened_run_finds_its_stages_again(
    digits_config: SearchConfig, searched: Run, tmp_path: Path
) -> None:
    part = run_search(grid(digits_config, trials=1), tmp_path / "d")
    assert [record.reused for record in part.records] == [""]
    run = run_search(grid(digits_config), tmp_path / "d", resume=True)
    assert [record.reused for record in run.records] == ["", "train"]


def test_a_disk_that_refuses_a_stage_is_told_once_and_costs_no_trial(
    digits: Workload, tmp_path: Path
) -> None:
    told: list[str] = []
    manifest = {"workload": {"fingerprint": DATA}}
    stages = RunStages(RunFolder(tmp_path, manifest), "1GiB", digits, told.append)
    (tmp_path / "stages").write_text("in the way")
    for key in ("a" * 64, "b" * 64):
        stages.add({key: {"stage.json": b"{}"}})
    assert len(told) == 1 and told[0].startswith("trials no longer share stages: ")


@pytest.mark.slow
def test_in_ray_workers_the_same_is_shared_and_made(
    digits: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    manifest = {"workload": {"fingerprint": DATA}}
    stages = RunStages(RunFolder(tmp_path, manifest), "1GiB", digits, print)
    recipes = [RECIPE, {**RECIPE, "quantize": {"method": "rtn", "bits": 4}}]
    specs = [
        TrialSpec(n, r, Conditions(seed=n, prefix_seed=shared_seed(0)))
        for n, r in enumerate(recipes)
    ]

    class Storing(SpecList):
        fetch_stage = staticmethod(stages.fetch)

        def tell(self, outcome: Outcome) -> None:
            super().tell(outcome)
            stages.add(outcome.stages)

    driver = Storing(specs)
    RayExecutor(concurrency=1).run(partial(run_trial, origin=stages.origin), digits, driver)
    outcomes = driver.outcomes
    assert [outcome.payload.reused for outcome in outcomes] == ["", "train"]
    for spec, outcome in zip(specs, outcomes, strict=True):
        here = run_trial(digits, spec, quick(no_stage))
        assert shipped(here) == shipped(outcome)
    [key] = outcomes[0].stages
    facts = json.loads(outcomes[0].stages[key]["stage.json"])["origin"]
    assert stage_key(facts) == key  # a stage tells all that its key was made of
