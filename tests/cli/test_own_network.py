"""A network, data and a metric of the user's own, all the way through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from slimtune.cli.main import main
from slimtune.cli.screen.interrupted import resume_command
from slimtune.errors import ConfigError
from slimtune.results.run import open_run
from slimtune.search.saved import load_model
from slimtune.workload.own_code import consent_ends

METRIC = """
import numpy as np

def worst_class(logits, labels):
    right = logits.argmax(1) == labels
    return float(min(right[labels == k].mean() for k in np.unique(labels)))
"""


def draw_shapes(folder: Path) -> None:
    """Draw grey 48x40 images of three unequal classes."""
    generator = np.random.default_rng(0)
    for split, counts in (("train", (48, 32, 20)), ("val", (8, 8, 8)), ("test", (8, 8, 8))):
        for name, count in zip(("bar", "box", "disc"), counts, strict=True):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                image = Image.fromarray(generator.integers(0, 90, (48, 40), dtype=np.uint8))
                x, y, r = *generator.integers(10, 28, 2).tolist(), 6
                pen, around = ImageDraw.Draw(image), (x - r, y - r, x + r, y + r)
                shapes = {"bar": pen.line, "box": pen.rectangle, "disc": pen.ellipse}
                shapes[name](around, fill=220)
                image.save(folder / split / name / f"{index}.png")


def searched(own_net: Path, folder: Path, *options: str) -> Path:
    draw_shapes(folder / "shapes")
    (folder / "metric.py").write_text(METRIC)
    arguments = [
        "--model", f"{own_net}:make", "--data", f"folder:{folder}/shapes", "--trials", "2",
        "--epochs", "1", "--set", "baseline.epochs=3", "--set", "baseline.batch_size=32",
        "--objective", f"{folder}/metric.py:worst_class:maximize",
        "--objective", "balanced_accuracy", "--objective", "size_bytes",
        "--set", "space.quantize.method=[none,int8_static]", "--out", str(folder / "run"),
    ]  # fmt: skip
    assert main(["-q", "search", *arguments, *options]) == 0
    return folder / "run"


def test_a_stored_run_runs_no_code_without_consent(
    own_net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = searched(own_net, tmp_path, "--no-ray")
    opened = open_run(run)
    assert [o.name for o in opened.objectives] == [
        "worst_class:maximize", "balanced_accuracy", "size_bytes"
    ]  # fmt: skip
    assert "worst_class ↑" in capsys.readouterr().out
    assert resume_command(run).endswith(f"search --resume {run} --allow-code")
    assert main(["front", str(run)]) == 0  # reads numbers alone
    assert "worst_class ↑" in capsys.readouterr().out
    stored = str(run / "trials" / "0000" / "model.onnx")
    verbs: list[list[str]] = [
        ["rerun", str(run), "--trial", "0"],
        ["evaluate", stored],
        ["compare", stored],
        ["search", "--no-ray", "--resume", str(run), "--trials", "3", "--epochs", "1"],
    ]
    for verb in verbs:
        assert main(verb) == 2, verb
        error = capsys.readouterr().err
        assert "needs --allow-code" in error and error.count("\n") == 1
    exported = tmp_path / "exported"
    export = ["export", str(run), "--trial", "0", "--verify", "-o", str(exported)]
    assert main(export) == 2
    error = capsys.readouterr().err
    assert "needs --allow-code" in error and error.count("\n") == 1
    assert not exported.exists()  # refused before anything is written
    assert main([*export, "--allow-code"]) == 0
    told = capsys.readouterr().err
    assert "DIFFERENT" not in told and "torch module same class on" in told
    assert str(tmp_path) not in (exported / "model.json").read_text()
    assert main(["rerun", str(run), "--trial", "0", "--check", "--allow-code"]) == 0
    assert main(["evaluate", stored, "--allow-code"]) == 0
    with pytest.raises(ConfigError, match="--allow-code"):
        load_model(run / "trials" / "0000")
    with consent_ends():
        assert load_model(run / "trials" / "0000", allow_code=True)
    own_net.write_text(own_net.read_text() + "\n# touched\n")
    assert main(["rerun", str(run), "--trial", "0", "--allow-code"]) == 5
    assert "has changed since the run was written" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_doctor_search_on_ray_resume_and_export_run_through(
    own_net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = searched(own_net, tmp_path)  # in worker processes
    assert (
        main(["doctor", "--model", f"{own_net}:make", "--data", f"folder:{tmp_path}/shapes"]) == 0
    )
    capsys.readouterr()
    resumed = ["--resume", str(run), "--trials", "3", "--allow-code"]
    assert main(["-q", "search", *resumed]) == 0
    records = open_run(run).records
    assert [record.status for record in records] == ["complete"] * 3
    assert all(0 <= record.objectives["worst_class:maximize"] <= 1 for record in records)
    assert main(["export", str(run), "--pick", "knee", "-o", str(tmp_path / "deploy")]) == 0
    architecture = json.loads((tmp_path / "deploy" / "model.json").read_text())["architecture"]
    assert architecture == {"name": "net.py:make", "num_classes": 3, "in_channels": 1}
