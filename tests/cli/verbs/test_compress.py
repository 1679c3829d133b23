import json
from pathlib import Path

import pytest
import torch
import yaml

from slimtune.cli.main import main
from slimtune.cli.verbs.compress import read_recipe
from slimtune.compression.recipe import Recipe
from slimtune.errors import ConfigError
from slimtune.results.store.checkpoints import SUMS
from slimtune.results.store.files import sha256_file
from slimtune.results.store.sealed import read_sealed
from slimtune.search.trial.snapshot_files import FILES
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

RECIPE = "prune: {method: l1, amount: 0.5}\nquantize: int8_static\ntrain: {epochs: 1}\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE)
    return file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    file = tmp_path / "w.safetensors"
    save_weights(build(Architecture("resnet8", 10, 1)), file)
    return file


def test_one_recipe_leaves_every_file_and_a_comparison_with_the_baseline(
    tmp_path: Path, recipe: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--model", "resnet8", "--weights", str(weights), "--data", "digits"]
    arguments += ["--precision", "bfloat16"]
    assert main(["compress", "--recipe", str(recipe), *arguments, "-o", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"written to {out}\n"
    result = json.loads((out / "result.json").read_text())
    assert (result["precision"], result["views"]) == ("bfloat16", 8)
    size = result["objectives"]["size_bytes"]
    assert (out / "model.onnx").stat().st_size == size
    [line] = [line for line in captured.out.splitlines() if line.startswith("size")]
    assert f"{size / 1024:.1f} KiB" in line
    assert {"model.safetensors", "model.json", "history.csv"} <= {p.name for p in out.iterdir()}
    assert all(sha256_file(out / name) == digest for name, digest in result["artifacts"].items())
    assert read_sealed(out / "result.json")["artifacts"].keys() >= {"model.onnx", "model.json"}
    assert {p.name for p in (out / "stages" / "train").iterdir()} == {*FILES, SUMS}
    written = yaml.safe_load((out / "recipe.yaml").read_text())
    assert Recipe.from_dict(written) == read_recipe(recipe)


def test_a_folder_that_exists_is_refused_and_left_alone(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert main(["compress", "--recipe", str(recipe), "--preset", "demo", "-o", str(out)]) == 2
    assert f"{out} already exists" in capsys.readouterr().err
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("train: {epochs: 1}\nprune: {method: l1, amount: 1.0}\n", 2, "must be less than 1"),
        ("prune:\n  method: l1\n  amuont: 0.5\n", 3, "Did you mean 'amount'?"),
        ("prnue: {}\n", 1, "unknown key 'prnue'. Did you mean 'prune'?"),
        ("distill: {method: base, temperature: 0}\n", 1, "must be greater than 0"),
        ("distill:\n  method: base\n  alpha: 1.5\n", 3, "must be less than or equal to 1"),
    ],
)
def test_a_wrong_recipe_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, rule: str
) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert rule in str(caught.value)
