"""What trials share, and that sharing changes no bit."""

import copy
import dataclasses
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.measurement.latency import Latency
from slimtune.results.run import Run
from slimtune.results.store.folder import RunFolder
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.review.rerun import compare, rerun_trial
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Aids, FetchEntry, no_entry
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec, shared_seed
from slimtune.search.trial.stage_store import (
    RunStore,
    run_origin,
    snapshot_key,
    stages_worth_keeping,
)
from slimtune.search.trial.trial import run_trial
from slimtune.workload.types import Workload
from tests.search.trial.shared_recipe import DATA, RECIPE, SPEC, TRAIN


def quick(fetch: FetchEntry) -> Aids:
    """No time is spent on latency, which no bit depends on."""
    latency = Latency(ms=1.0, rounds=3, accepted=3, stable=True, threads=1)
    return Aids(fetch_entry=fetch, measure_latency=lambda *_, **__: [latency])


def trial(workload: Workload, spec: TrialSpec, fetch: FetchEntry = no_entry) -> Outcome:
    outcome = run_trial(workload, spec, quick(fetch), origin=run_origin(workload, DATA))
    assert outcome.status == "complete", outcome.reason
    return outcome


def shipped(outcome: Outcome) -> dict[str, bytes]:
    return {name: data for name, data in outcome.files.items() if name != "log.txt"}


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
    assert set(whole.entries) == set(keys.values()) and whole.payload.reused == ""
    for done, key in keys.items():
        begun = trial(digits, spec, {key: whole.entries[key]}.get)
        assert begun.payload.reused == done
        assert begun.entries[key] == {} and set(begun.entries) == set(list(keys.values())[-1:]) | {
            key
        }
        assert shipped(begun) == shipped(whole)
        assert f"{done} (from the store)" in begun.files["log.txt"].decode()
    assert shipped(run_trial(digits, spec, quick(no_entry))) == shipped(whole)  # no store at all


def test_a_shared_seed_leaves_what_follows_to_the_trials_own(digits: Workload) -> None:
    learned = {**RECIPE, "quantize": {"method": "lsq", "bits": 4, "epochs": 1}}
    first, second = (
        trial(digits, TrialSpec(0, learned, Conditions(seed=seed, prefix_seed=5)))
        for seed in (1, 2)
    )
    assert first.entries == second.entries
    assert first.files["model.onnx"] != second.files["model.onnx"]


@pytest.mark.parametrize("found", [{}, {"stage.json": b"{}"}, {"stage.json": b"\x00"}, "raises"])
def test_a_store_that_is_damaged_or_gone_is_a_miss(digits: Workload, found: Any) -> None:
    def fetch(key: str) -> Mapping[str, bytes]:
        if found == "raises":
            raise ConnectionError("the host of the store is gone")
        return found

    outcome = trial(digits, SPEC, fetch)
    assert outcome.payload.reused == "" and all(outcome.entries.values())


def test_a_stage_of_another_recipe_under_this_key_is_not_believed(digits: Workload) -> None:
    other = {**RECIPE, "prune": {"method": "l1", "amount": 0.25}}
    [files] = trial(digits, dataclasses.replace(SPEC, recipe=other)).entries.values()
    outcome = trial(digits, SPEC, lambda key: files)
    assert outcome.payload.reused == "" and shipped(outcome) == shipped(trial(digits, SPEC))


def test_a_trial_that_fails_at_its_end_hands_its_beginning_back(digits: Workload) -> None:
    broken = dataclasses.replace(
        SPEC, recipe={**RECIPE, "quantize": {"method": "lsq", "epochs": 1, "lr": 9.9}}
    )
    network = copy.deepcopy(digits.baseline)
    workload = dataclasses.replace(digits, validation=digits.validation.take([]), baseline=network)
    outcome = run_trial(workload, broken, quick(no_entry), origin=run_origin(workload, DATA))
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
    stages = RunStore(RunFolder(tmp_path, manifest), "1GiB", digits, told.append)
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
    stages = RunStore(RunFolder(tmp_path, manifest), "1GiB", digits, print)
    recipes = [RECIPE, {**RECIPE, "quantize": {"method": "rtn", "bits": 4}}]
    specs = [
        TrialSpec(n, r, Conditions(seed=n, prefix_seed=shared_seed(0)))
        for n, r in enumerate(recipes)
    ]

    class Storing(SpecList):
        fetch_entry = staticmethod(stages.fetch)

        def tell(self, outcome: Outcome) -> None:
            super().tell(outcome)
            stages.add(outcome.entries)

    driver = Storing(specs)
    RayExecutor(concurrency=1).run(partial(run_trial, origin=stages.origin), digits, driver)
    outcomes = driver.outcomes
    assert [outcome.payload.reused for outcome in outcomes] == ["", "train"]
    for spec, outcome in zip(specs, outcomes, strict=True):
        here = run_trial(digits, spec, quick(no_entry))
        assert shipped(here) == shipped(outcome)
    [key] = outcomes[0].entries
    facts = json.loads(outcomes[0].entries[key]["stage.json"])["origin"]
    assert snapshot_key(facts) == key  # a stage tells all that its key was made of
