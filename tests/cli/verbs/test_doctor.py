import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from slimtune.cli.main import main

# Name -> pixels, and what does not work.
NETWORKS: dict[str, tuple[int, tuple[str, ...]]] = {
    "resnet18": (32, ()),
    "mobilenet_v2": (32, ()),
    "efficientnet_b0": (32, ()),
    "convnext_tiny": (32, ()),
    "densenet121": (32, ()),
    "vit_b_16": (224, ()),
}


def save_npz(folder: Path, size: tuple[int, ...], train: int = 24, test: int = 9) -> str:
    generator = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", train), ("val", 9), ("test", test)):
        if n == 0:
            continue
        arrays[f"x_{part}"] = generator.integers(0, 256, (n, *size), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(n) % 3
    np.savez(folder / "data.npz", **arrays)
    return f"npz:{folder}/data.npz"


def test_doctor_shows_what_works_and_what_to_type(
    own_net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save_npz(tmp_path, (24, 20))
    assert main(["doctor", "--model", f"{own_net}:make", "--data", data]) == 0
    out = capsys.readouterr().out
    assert "3 classes · 1×24×20 · train 24, validation 9, test 9 · mirrored in training" in out
    for line in (
        "export    ONNX file",
        "prune     channels",
        "quantize  int8",
        "distill   logits",
    ):
        assert line in out
    assert "an image in training" in out and "of the rounds were quiet" in out
    command = shlex.split(out.splitlines()[-1])
    assert command[-4:] == ["--model", f"{own_net}:make", "--data", data]


def test_json_has_every_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = save_npz(tmp_path, (16, 16), test=0)
    given = ["--set", "baseline.epochs=0", "--preset", "demo"]
    assert main(["--json", "doctor", "--model", "resnet8", "--data", data, *given]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["notes"] == ["there is no x_test: a fixed 20% of x_train are the test images"]
    assert "search --preset demo --model resnet8" in found["command"]
    assert found["command"].endswith("--set baseline.epochs=0")
    assert {each["stage"] for each in found["findings"]} == {
        "export", "prune", "quantize", "distill"
    }  # fmt: skip
    assert all(each["works"] for each in found["findings"])
    assert found["host"]["ray"] and found["trial"]["how"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", NETWORKS)
def test_what_doctor_says_of_networks_of_torchvision_is_true(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size, refused = NETWORKS[name]
    data = save_npz(tmp_path, (size, size, 3), train=12)
    model = ["--model", f"torchvision:{name}", "--data", data]
    assert main(["doctor", *model, "--json"]) == 0
    findings = {each["what"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    works = {what: each["works"] for what, each in findings.items()}
    assert {what for what, yes in works.items() if not yes} == set(refused)
    fixed = works["int8, fixed ranges"]
    recipes = [
        {"prune": {"method": "l1", "amount": 0.3, "round_to": 1},
         "quantize": {"method": "int8_static" if fixed else "float16"},
         "train": {"epochs": 1, "lr": 0.003, "batch_size": 4}},
        {"distill": {"method": "attention" if works["feature maps"] else "base"},
         "train": {"epochs": 1, "lr": 0.003, "batch_size": 4}},
    ]  # fmt: skip
    config = tmp_path / "search.yaml"
    config.write_text(json.dumps({"trials": 2, "start": recipes, "space": {
        "prune": {"round_to": 1}, "train": {"epochs": 1, "batch_size": 4},
        "quantize": {"method": ["none", "int8_static", "float16"]}}}))  # fmt: skip
    out = tmp_path / "run"
    arguments = [
        "-c",
        str(config),
        "--no-ray",
        "--no-stopping",
        "--set",
        "baseline.epochs=0",
        "--out",
        str(out),
    ]
    assert main(["-q", "search", *model, *arguments]) == 0
    for number in (0, 1):
        record = json.loads((out / "trials" / f"{number:04d}" / "result.json").read_text())
        assert record["status"] == "complete", record["error"]
