import json
from pathlib import Path

import pytest
import torch

from slimtune.cli.main import main
from slimtune.compression.pipeline import compress
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.compression.training.loop import network_logits
from slimtune.conditions import Conditions
from slimtune.measurement.runtime import observe_ranges
from slimtune.search.settings.config import make_config
from slimtune.search.setup import load_workload
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Workload


@pytest.fixture(scope="module")
def workload() -> Workload:
    return load_workload(
        make_config({"model": "resnet8", "data": "digits"}), load_dataset("digits")
    )


@pytest.fixture(scope="module")
def files(workload: Workload, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    save_weights(workload.baseline, folder / "w.safetensors")
    recipe = Recipe(train=Train(epochs=0))
    made = compress(workload, recipe, Conditions(seed=0), observe=observe_ranges)
    (folder / "model.onnx").write_bytes(made.onnx)
    return folder


def expected_accuracy(workload: Workload) -> float:
    logits = network_logits(workload.baseline, workload.test.images, workload)
    labels = torch.from_numpy(workload.test.labels)
    return float((logits.argmax(1) == labels).float().mean())


def test_an_onnx_file_scores_what_its_network_scores(
    files: Path, workload: Workload, capsys: pytest.CaptureFixture[str]
) -> None:
    file = files / "model.onnx"
    assert main(["--json", "evaluate", str(file), "--data", "digits"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test_accuracy"] == pytest.approx(expected_accuracy(workload), abs=1e-6)
    assert result["test_images"] == 539
    assert result["size_bytes"] == file.stat().st_size
    assert result["latency_ms"] > 0


def test_a_checkpoint_scores_the_same_in_words(
    files: Path, workload: Workload, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", "resnet8", "--weights", str(files / "w.safetensors")]
    assert main(["evaluate", *arguments, "--data", "digits"]) == 0
    p = expected_accuracy(workload)
    error = (p * (1 - p) / 539) ** 0.5
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"test accuracy {p:.4f} ± {error:.4f} (n = 539)"


@pytest.mark.parametrize(
    ("arguments", "code", "rule"),
    [
        ([], 2, "Give an ONNX file, or --model, --weights and --data."),
        (["--model", "resnet8", "--data", "digits"], 2, "Give an ONNX file, or --model"),
        (["m.onnx", "--model", "resnet8"], 2, "not both"),
        (["m.onnx", "--data", "digits", "--run", "r"], 2, "Give --data or --run, not both."),
        (["m.onnx"], 2, "lies in no run folder"),
        (["m.onnx", "--run", "r"], 5, "is not a slimtune run"),
        (["m.onnx", "--data", "digits"], 2, "m.onnx"),
        (["m.onnx", "--data", "didgits"], 2, "Did you mean 'digits'?"),
        (["m.onnx", "--data", "digits", "--threads", "0"], 2, "0 is not in the range x>=1"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    rule: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *arguments]) == code
    error = capsys.readouterr().err
    assert rule in error
    assert error.startswith("error: ") and error.count("\n") == 1


def test_a_file_that_is_no_model_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(b"no model")
    assert main(["evaluate", str(file), "--data", "digits"]) == 2
    error = capsys.readouterr().err
    assert str(file) in error and error.count("\n") == 1
