import csv
import io
import json
from pathlib import Path

import onnx
import pytest
import torch

from slimtune.cli.main import main
from slimtune.compression.export.onnx_file import Signature, export_file
from slimtune.measurement.runtime import observe_ranges
from slimtune.workload.datasets import load_dataset
from slimtune.workload.zoo.cifar_resnet import CifarResNet


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    dataset = load_dataset("digits")
    content = export_file(
        CifarResNet(10, 1, depth=8).eval(),
        Signature(dataset.image_shape, dataset.mean, dataset.std, dataset.classes),
        calibration=dataset.train.images[:2],
        observe=observe_ranges,
    ).onnx
    path = tmp_path_factory.mktemp("compare") / "net.onnx"
    path.write_bytes(content)
    return path


def test_a_table_has_a_column_a_model(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(file), str(file), "--data", "digits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = [line[:16].strip() for line in lines]
    for title in ("file", "compression", "params", "non-zero", "sparsity", "MACs", "BOPs"):
        assert title in titles
    assert {"packed", "test accuracy", "± standard error", "latency"} <= set(titles)
    ratio = next(line for line in lines if line.startswith("compression"))
    assert ratio.split()[1:] == ["1.00×", "1.00×"]
    assert "accuracy on 539 images" in " ".join(" ".join(lines).split())


def test_programs_get_every_number(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "compare", str(file), "--data", "digits"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["size_bytes"] == file.stat().st_size and row["test_images"] == 539
    assert main(["compare", str(file), "--format", "csv"]) == 0
    captured = capsys.readouterr()
    (again,) = csv.DictReader(io.StringIO(captured.out))
    assert again["params"] == str(row["params"]) and again["test_accuracy"] == ""


def test_the_latency_of_a_file_that_takes_only_batches_says_so(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 16
    fixed = tmp_path / "fixed.onnx"
    onnx.save(model, fixed)
    assert main(["compare", str(file), str(fixed), "--data", "digits"]) == 0
    assert capsys.readouterr().out.count("of 16 images") == 1
    assert main(["evaluate", str(fixed), "--data", "digits"]) == 0
    assert ", batch 16, 1 thread" in capsys.readouterr().out
    assert main(["evaluate", str(file), "--data", "digits"]) == 0
    assert ", batch 1, 1 thread" in capsys.readouterr().out


def test_without_data_the_table_says_how_to_get_an_accuracy(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(file)]) == 0
    assert capsys.readouterr().err == "no accuracy: give --data or --run\n"


@pytest.mark.parametrize(
    ("arguments", "code", "rule"),
    [
        ([], 2, "Missing argument 'MODEL...'"),
        (["m.onnx"], 2, "there is no file m.onnx"),
        (["resnet8=w.th", "--data", "digits"], 2, "there is no file w.th"),
        (["FILE", "--data", "digits", "--run", "r"], 2, "Give --data or --run, not both."),
        (["FILE", "--run", "r"], 5, "is not a slimtune run"),
        (["FILE", "--data", "didgits"], 2, "Did you mean 'digits'?"),
        (["resnet8=FILE"], 2, "a checkpoint needs --data or --run"),
        (["resnt8=FILE", "--data", "digits"], 2, "Did you mean 'resnet8'?"),
        (["resnet8=FILE", "--data", "digits"], 2, "net.onnx"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    rule: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [argument.replace("FILE", str(file)) for argument in arguments]
    assert main(["compare", *given]) == code
    error = capsys.readouterr().err
    assert rule in error
    assert error.startswith("error: ") and error.count("\n") == 1
