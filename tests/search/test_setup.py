import copy
import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slimtune.compression.training.loop import network_accuracy
from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, ModelError, RunError, UserError
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.sealed import seal
from slimtune.search import setup
from slimtune.search.review.once import compress_once
from slimtune.search.saved import load_model
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.search.settings.recorded import run_config
from slimtune.search.setup import (
    load_network,
    load_workload,
    reopen_workload,
    split_workload,
    train_baseline,
    train_missing,
)
from slimtune.search.trial.spec import TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload import own_code
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.computed_weights import fold_computed_weights
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Architecture, Augmentation, Workload
from slimtune.workload.zoo.build import build


def test_a_trained_baseline_never_saw_the_validation_images(digits: Workload) -> None:
    whole = load_dataset("digits")
    assert len(digits.train) + len(digits.validation) == len(whole.train)
    assert np.array_equal(digits.test.images, whole.test.images)


def test_given_weights_move_validation_into_test(
    digits: Workload, digits_config: SearchConfig, tmp_path: Path
) -> None:
    save_weights(digits.baseline, tmp_path / "net.safetensors")
    config = make_config({"weights": str(tmp_path / "net.safetensors")}, None)
    config = config.model_copy(update={"model": "resnet8", "data": "digits"})
    whole = load_dataset("digits")
    workload = load_workload(config, whole)
    assert len(workload.train) == len(whole.train)
    assert len(workload.validation) + len(workload.test) == len(whole.test)
    assert network_accuracy(workload.baseline, digits.test, workload) == network_accuracy(
        digits.baseline, digits.test, digits
    )


def test_the_split_does_not_depend_on_the_seed(digits: Workload) -> None:
    config = SearchConfig(model="resnet8", data="digits", seed=99)
    other = split_workload(config, load_dataset("digits"), digits.baseline)
    assert np.array_equal(other.validation.images, digits.validation.images)


def test_the_seed_fixes_the_first_weights() -> None:
    config = SearchConfig(model="resnet8", data="digits", seed=5)
    one, two = (load_workload(config, load_dataset("digits")).baseline for _ in range(2))
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second)


def test_a_model_that_is_too_deep_for_the_images_is_refused() -> None:
    config = SearchConfig(model="torchvision:alexnet", data="digits")
    with pytest.raises(ModelError, match="torchvision:alexnet"):
        load_workload(config, load_dataset("digits"))


def test_a_depthwise_network_read_from_its_file_makes_the_same_bytes_as_the_trained_one(
    tmp_path: Path,
) -> None:
    """Trained weights lie channels-last in memory, read ones do not, and kernels differ."""
    config = make_config(
        {"model": "torchvision:mobilenet_v2", "data": "digits", "baseline": {"epochs": 1}}
    )
    trained = load_workload(config, load_dataset("digits"))
    trained = replace(trained, train=trained.train.take(np.arange(128)))
    train_baseline(trained, config, lambda epoch: None)
    recipe = {"distill": {"method": "base"}, "train": {"epochs": 1, "batch_size": 64}}
    spec = TrialSpec(number=0, recipe=recipe, conditions=Conditions(seed=1))
    save_weights(trained.baseline, tmp_path / "net.safetensors")
    again = load_network(
        config.model_copy(update={"weights": str(tmp_path / "net.safetensors")}),
        load_dataset("digits"),
    )
    first, second = (run_trial(w, spec) for w in (trained, replace(trained, baseline=again)))
    assert first.status == "complete"
    assert first.payload.artifacts == second.payload.artifacts


def test_a_baseline_whose_training_diverges_names_the_network_and_the_setting(
    digits: Workload, digits_config: SearchConfig
) -> None:
    broken = copy.deepcopy(digits.baseline)
    next(broken.parameters()).data.fill_(float("nan"))
    few = replace(digits, baseline=broken, train=digits.train.take(np.arange(8)))
    told = r"training resnet8 before the search: the loss became nan in epoch 1 .*: baseline\.lr$"
    with pytest.raises(ConfigError, match=told):
        train_baseline(few, digits_config, lambda epoch: None)


def test_a_teacher_of_another_architecture_is_loaded_or_trained(
    digits: Workload, tmp_path: Path
) -> None:
    """Its weights are read where there are some; else it is trained like the baseline."""
    settings = {
        "model": "resnet8",
        "data": "digits",
        "teacher": "resnet8x2",
        "baseline": {"epochs": 1, "batch_size": 256},
    }
    config = make_config(settings)
    workload = load_workload(config, load_dataset("digits"))
    assert workload.teacher is not None
    seen: list[str] = []
    train_missing(workload, config, lambda what, epoch: seen.append(what))
    assert seen == ["baseline", "teacher"]
    save_weights(workload.teacher, tmp_path / "t.safetensors")
    given = make_config({**settings, "teacher_weights": str(tmp_path / "t.safetensors")})
    again = load_workload(given, load_dataset("digits"))
    assert again.teacher is not None
    for name, value in again.teacher.state_dict().items():
        assert torch.equal(value, workload.teacher.state_dict()[name]), name
    seen.clear()
    train_missing(again, given, lambda what, epoch: seen.append(what))
    assert seen == ["baseline"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": "resnet9"}, "teacher: unknown model 'resnet9'"),
        ({"teacher": "resnet20", "teacher_weights": "nowhere.th"}, "teacher: .*nowhere.th"),
    ],
)
def test_a_teacher_that_cannot_be_used_is_refused_in_one_line(
    settings: dict[str, str], message: str
) -> None:
    config = make_config({"model": "resnet8", "data": "digits", **settings})
    with pytest.raises(UserError, match=message) as caught:
        load_workload(config, load_dataset("digits"))
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_no_teacher(digits: Workload, tmp_path: Path) -> None:
    save_weights(digits.baseline, tmp_path / "resnet8.safetensors")
    settings = {"teacher": "resnet20", "teacher_weights": str(tmp_path / "resnet8.safetensors")}
    config = make_config({"model": "resnet8", "data": "digits", **settings})
    with pytest.raises(ModelError, match="teacher: .*resnet8.safetensors"):
        load_workload(config, load_dataset("digits"))


class Stored:
    """A finished run whose manifest says something else of the normalisation."""

    def __init__(self, run: Path, **workload: object) -> None:
        folder = RunFolder.open(run)
        known = {k: v for k, v in folder.manifest["workload"].items() if k not in workload}
        kept = {key: value for key, value in workload.items() if value is not None}
        self.path, self.config = folder.path, run_config(folder)
        self.manifest = {**folder.manifest, "workload": {**known, **kept}}


def test_a_run_of_an_older_version_keeps_the_normalisation_that_it_recorded(
    digits_run: Path, digits: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = replace(load_dataset("digits"), mean=(0.5,), std=(0.5,))
    old = Stored(digits_run, normalised_by=None, normalisation=None)
    monkeypatch.setattr(setup, "load_dataset", lambda name: half)
    found = reopen_workload(old, old.config)  # type: ignore[arg-type]
    assert found.mean == pytest.approx(digits.mean) and found.std == pytest.approx(digits.std)


def test_a_run_goes_on_with_no_other_normalisation_of_the_users(
    digits_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = replace(load_dataset("digits"), mean=(0.5,), std=(0.5,), normalised_by="data")
    monkeypatch.setattr(setup, "load_dataset", lambda name: half)
    typed = Stored(digits_run, normalised_by="data")
    with pytest.raises(RunError, match="has changed since"):
        reopen_workload(typed, typed.config)  # type: ignore[arg-type]


def test_a_network_of_timm_is_given_what_it_was_trained_with() -> None:
    pytest.importorskip("timm")
    config = make_config({"model": "timm:mixer_s32_224", "data": "digits@size=224,channels=3"})
    dataset = load_dataset("digits@channels=3")
    workload = split_workload(config, dataset, timm_network())
    assert workload.mean == (0.5,) * 3 and workload.normalised_by == "network"
    typed = load_dataset("digits@channels=3,mean=imagenet")
    assert split_workload(config, typed, timm_network()).mean == (0.485, 0.456, 0.406)


def timm_network() -> torch.nn.Module:
    return build(Architecture("timm:mixer_s32_224", 10, 3))


ODD = """
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


class Net(nn.Module):
    def __init__(self, num_classes, in_channels, norm):
        super().__init__()
        self.conv, self.norm = weight_norm(nn.Conv2d(in_channels, 8, 3, padding=1)), norm
        self.second, self.aux = nn.Conv2d(8, 8, 3), nn.Linear(8, num_classes)
        self.head = weight_norm(nn.Linear(8, num_classes))

    def forward(self, x):
        maps = torch.relu(self.norm(self.conv(x)))
        logits = self.head(torch.relu(self.second(maps)).mean((2, 3)))
        if self.training:
            return logits, self.aux(maps.mean((2, 3)))
        return {"features": maps, "logits": logits}


def make(num_classes, in_channels):
    return Net(num_classes, in_channels, nn.BatchNorm2d(8))


def batchwise(num_classes, in_channels):
    return Net(num_classes, in_channels, nn.BatchNorm2d(8, track_running_stats=False))
"""


def test_computed_weights_and_outputs_for_training_go_through_a_whole_trial(
    tmp_path: Path,
) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    reference = f"{tmp_path / 'odd.py'}:make"
    with own_code.consent_ends():
        own_code.allow_code(reference)
        config = make_config({"model": reference, "data": "digits", "baseline": {"epochs": 1}})
        workload = load_workload(config, load_dataset("digits"))
        train_baseline(workload, config, lambda epoch: None)
        recipe = {"quantize": {"method": "rtn", "bits": 4}, "train": {"epochs": 1}}
        made = compress_once(workload, recipe, Conditions(0))
        assert made.status == "complete", made.payload.error
        for name, content in made.files.items():
            (tmp_path / name).write_bytes(content)
        read = load_model(tmp_path)
    images = torch.zeros(2, 1, 8, 8)
    assert read(images).shape == read.train()(images).shape == (2, 10)


def test_batch_statistics_are_refused_wherever_a_network_enters(
    tmp_path: Path, digits: Workload
) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    reference = f"{tmp_path / 'odd.py'}:batchwise"
    told = "depend on the rest of its batch: the batch norm norm has track_running_stats=False"
    with own_code.consent_ends():
        own_code.allow_code(reference)
        for settings in ({"model": reference}, {"model": "resnet8", "teacher": reference}):
            with pytest.raises(ModelError, match=told):
                load_workload(make_config({"data": "digits", **settings}), load_dataset("digits"))
        with pytest.raises(ModelError, match=f"student.model: .*{told}"):
            compress_once(digits, {"student": {"model": reference}}, Conditions(0))
        broken = replace(digits, baseline=odd_network(reference))
        with pytest.raises(ModelError, match=told):
            compress_once(broken, {"train": {"epochs": 0}}, Conditions(0))


def odd_network(reference: str) -> torch.nn.Module:
    return fold_computed_weights(build(Architecture(reference, 10, 1))).eval()


@pytest.mark.parametrize(
    ("validation", "source", "notes"),
    [
        ({}, "val", 0),
        ({"fraction": 0.3}, "val", 0),  # as the presets have it
        ({"source": "train"}, "train", 1),
        ({"source": "test", "fraction": 0.4}, "test", 1),
    ],
)
def test_validation_images_of_its_own_are_used_unless_another_source_is_named(
    digits: Workload, validation: dict[str, object], source: str, notes: int
) -> None:
    whole = load_dataset("digits")
    own = replace(whole, validation=whole.test.take(np.arange(50)))
    config = make_config({"model": "resnet8", "data": "digits", "validation": validation})
    workload = split_workload(config, own, digits.baseline)
    assert workload.validation_source == source and len(workload.notes) == notes
    assert (len(workload.validation) == 50) is (source == "val")
    assert all("left out its 50 validation images" in note for note in workload.notes)


def test_a_run_keeps_its_augmentation_though_its_source_says_otherwise_today(
    digits_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(digits_run, copy)
    manifest = json.loads((copy / "run.json").read_text())
    assert manifest["workload"]["augmentation"] == {"padding": 1, "flip": False}
    manifest["workload"]["augmentation"] = {"padding": 2, "flip": True}
    (copy / "run.json").write_bytes(seal(manifest))
    folder = RunFolder.open(copy)
    assert reopen_workload(folder, run_config(folder)).augmentation == Augmentation(2, True)


def test_a_run_goes_on_without_a_validation_part_that_its_source_did_not_know_then(
    digits_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_dataset("digits")
    later = dataclasses.replace(whole, validation=whole.test)
    monkeypatch.setattr(setup, "load_dataset", lambda reference: later)
    folder = RunFolder.open(digits_run)
    assert reopen_workload(folder, run_config(folder)).validation_source == "train"
