import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from slimtune.compression.pipeline import StudentState
from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, ModelError, RunError, UserError
from slimtune.results.store.checkpoints import with_sums
from slimtune.search.review.once import compress_once
from slimtune.search.trial.snapshot_files import (
    FILES,
    SnapshotFiles,
    check_origin,
    read_snapshot,
    snapshot_files,
    snapshot_from_files,
    snapshot_origin,
)
from slimtune.workload.types import Architecture, Workload
from slimtune.workload.zoo.build import build

RECIPE: dict[str, Any] = {
    "prune": {"method": "l1", "amount": 0.5},
    "quantize": "int8_static",
    "train": {"epochs": 1, "batch_size": 256},
}


@pytest.fixture(scope="module")
def saved(digits: Workload, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compress whose stages were saved, with the file that it ended in."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("small")
    stages = SnapshotFiles(Recipe.from_dict(RECIPE), snapshot_origin(digits, 3))

    def keep(progress: StudentState) -> None:
        stages.keep(replace(progress, model=copy.deepcopy(progress.model)))

    outcome = compress_once(digits, RECIPE, Conditions(3), keep=keep)
    (folder / "model.onnx").write_bytes(outcome.files["model.onnx"])
    for name, files in stages.folders.items():
        (folder / name).mkdir()
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
    return folder


@pytest.mark.parametrize("stage", ["prune", "train"])
def test_going_on_from_a_saved_stage_ends_in_the_same_file(
    digits: Workload, saved: Path, stage: str
) -> None:
    start = read_snapshot(saved / stage, Recipe.from_dict(RECIPE))
    assert start.done == stage and len(start.history) == (stage == "train")
    outcome = compress_once(digits, RECIPE, Conditions(3), start=start)
    assert outcome.files["model.onnx"] == (saved / "model.onnx").read_bytes()


def test_another_end_may_follow_but_no_other_beginning(saved: Path) -> None:
    read_snapshot(saved / "train", Recipe.from_dict({**RECIPE, "quantize": "none"}))
    other = Recipe.from_dict({**RECIPE, "prune": {"method": "l1", "amount": 0.3}})
    message = "prune.amount: is 0.3 here, but .* was made with 0.5; make them equal"
    with pytest.raises(ConfigError, match=message):
        read_snapshot(saved / "prune", other)
    longer = Recipe.from_dict({**RECIPE, "train": {"epochs": 2}})
    assert read_snapshot(saved / "prune", longer).done == "prune"  # training comes after it
    with pytest.raises(ConfigError, match="train.epochs: is 2 here"):
        read_snapshot(saved / "train", longer)


@pytest.mark.parametrize("name", FILES)
def test_a_saved_stage_with_a_flipped_bit_is_refused(
    saved: Path, tmp_path: Path, name: str
) -> None:
    sound = {file: (saved / "train" / file).read_bytes() for file in FILES}
    for file, data in with_sums(sound).items():
        (tmp_path / file).write_bytes(data)
    recipe = Recipe.from_dict(RECIPE)
    assert read_snapshot(tmp_path, recipe).done == "train"
    damaged = bytearray(sound[name])
    damaged[-20] ^= 1
    (tmp_path / name).write_bytes(damaged)
    with pytest.raises(RunError, match=f"{name}: damaged.*SHA-256 mismatch"):
        read_snapshot(tmp_path, recipe)


def test_a_folder_that_is_no_stage_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no saved stage \(no stage.json\)"):
        read_snapshot(tmp_path, Recipe.from_dict(RECIPE))
    (tmp_path / "stage.json").write_text(json.dumps({"done": "prune"}))
    with pytest.raises(ModelError, match="describes no stage"):
        read_snapshot(tmp_path, Recipe.from_dict(RECIPE))


def test_settings_that_acted_between_the_steps_belong_to_the_beginning(tmp_path: Path) -> None:
    def recipe(**train: Any) -> Recipe:
        prune = {"method": "l1", "schedule": "incremental"}
        return Recipe.from_dict({"prune": prune, "train": {"batch_size": 256, **train}})

    stages = SnapshotFiles(recipe(), {})
    network = build(Architecture("resnet8", 10, 1))
    stages.keep(StudentState("prune", network, Architecture("resnet8", 10, 1)))
    for file, content in stages.folders["prune"].items():
        (tmp_path / file).write_bytes(content)
    assert read_snapshot(tmp_path, recipe(epochs=9, recalibrate=True)).done == "prune"
    with pytest.raises(ConfigError, match="train.lr: is 0.1 here, but .* with 0.01"):
        read_snapshot(tmp_path, recipe(lr=0.1))


def test_a_stage_of_another_seed_augmentation_or_baseline_is_refused(
    digits: Workload, saved: Path
) -> None:
    check_origin(saved / "train", snapshot_origin(digits, 3))
    with pytest.raises(ConfigError, match="seed: is 4 here, but .* was made with 3"):
        check_origin(saved / "train", snapshot_origin(digits, 4))
    mirrored = replace(digits, augmentation=replace(digits.augmentation, flip=True))
    with pytest.raises(ConfigError, match="augmentation.flip: is True here, but .* with False"):
        check_origin(saved / "train", snapshot_origin(mirrored, 3))
    other = copy.deepcopy(digits.baseline)
    next(other.parameters()).data.mul_(2.0)
    with pytest.raises(ConfigError, match="baseline: is .* here, but .* was made with"):
        check_origin(saved / "train", snapshot_origin(replace(digits, baseline=other), 3))


def test_a_stage_travels_as_bytes_and_comes_back_ready_to_be_used(saved: Path) -> None:
    recipe = Recipe.from_dict(RECIPE)
    files = {name: (saved / "train" / name).read_bytes() for name in FILES}
    made = snapshot_from_files(files, recipe, Path("store"))
    assert made.done == "train" and not any(module.training for module in made.model.modules())
    origin = json.loads(files["stage.json"])["origin"]
    assert snapshot_files(made, recipe, origin) == files
    with pytest.raises(ModelError, match="store/model.safetensors: cannot be read as weights"):
        snapshot_from_files({**files, "model.safetensors": b"torn"}, recipe, Path("store"))
    with pytest.raises(RunError, match="store/stage.json:1: damaged"):
        snapshot_from_files({"stage.json": b"{"}, recipe, Path("store"))
