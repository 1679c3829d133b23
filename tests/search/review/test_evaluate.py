from pathlib import Path

import pytest
from PIL import Image

from slimtune.conditions import Conditions
from slimtune.errors import RunError, UserError
from slimtune.results.run import open_run
from slimtune.search.review.evaluate import evaluate_checkpoint, evaluate_file, evaluate_in_run
from slimtune.search.review.once import compress_once
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Architecture, Workload
from slimtune.workload.zoo.build import build


def test_a_file_and_its_checkpoint_score_the_same(digits: Workload, tmp_path: Path) -> None:
    save_weights(digits.baseline, tmp_path / "net.safetensors")
    outcome = compress_once(digits, {"train": {"epochs": 0}}, Conditions(seed=0))
    (tmp_path / "net.onnx").write_bytes(outcome.files["model.onnx"])
    file = evaluate_file(tmp_path / "net.onnx", "digits")
    checkpoint = evaluate_checkpoint("resnet8", str(tmp_path / "net.safetensors"), "digits")
    assert file["test_accuracy"] == checkpoint["test_accuracy"] > 0.9
    assert file["test_images"] == checkpoint["test_images"] == 539
    assert "normalisation" not in file  # it normalises by itself
    assert checkpoint["normalisation"].endswith("(the default)")
    assert file["size_bytes"] == len(outcome.files["model.onnx"]) and file["latency_ms"] > 0


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(UserError, match="net.onnx"):
        evaluate_file(tmp_path / "net.onnx", "digits")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "weights", "accuracy"),
    [
        ("resnet20", "resnet20-cifar10-91.73.th", 0.9173),
        ("resnet56", "resnet56-cifar10-93.39.th", 0.9339),
    ],
)
def test_third_party_checkpoints_score_exactly_what_their_authors_say(
    shared_folder: Path, model: str, weights: str, accuracy: float
) -> None:
    data = f"parquet:{shared_folder / 'data' / 'cifar10'}"
    result = evaluate_checkpoint(model, str(shared_folder / "models" / weights), data)
    assert result["test_accuracy"] == accuracy and result["test_images"] == 10_000


def test_a_file_for_other_classes_is_refused(digits: Workload, tmp_path: Path) -> None:
    outcome = compress_once(digits, {"train": {"epochs": 0}}, Conditions(seed=0))
    (tmp_path / "net.onnx").write_bytes(outcome.files["model.onnx"])
    for split in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    with pytest.raises(UserError, match="tells 10 classes apart, but the data has 2"):
        evaluate_file(tmp_path / "net.onnx", f"folder:{tmp_path / 'data'}")


def test_a_checkpoint_is_scored_on_a_test_set_too_small_to_split(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 1)):
        for name in ("a", "b"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    save_weights(build(Architecture("resnet8", 2, 1)), tmp_path / "net.safetensors")
    data = f"folder:{tmp_path / 'data'}"
    result = evaluate_checkpoint("resnet8", str(tmp_path / "net.safetensors"), data)
    assert result["test_images"] == 2


def test_evaluating_a_trials_file_reproduces_its_accuracy_exactly(digits_run: Path) -> None:
    for record in open_run(digits_run).records[:2]:
        file = digits_run / "trials" / f"{record.number:04d}" / "model.onnx"
        assert (
            evaluate_in_run(file, digits_run)["validation_accuracy"]
            == record.objectives["accuracy"]
        )


def test_evaluating_in_a_run_whose_data_has_changed_is_refused(run_on_other_data: Path) -> None:
    with pytest.raises(RunError, match="the data of digits has changed"):
        evaluate_in_run(run_on_other_data / "baseline" / "model.onnx", run_on_other_data)
