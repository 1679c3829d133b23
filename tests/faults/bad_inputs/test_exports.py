"""Places that an export, or a config file to edit, must not be written to: nothing is changed."""

from pathlib import Path

import pytest

from slimtune.cli.main import main
from slimtune.conditions import Conditions
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord

MANIFEST = {
    "config": {"data": "digits"},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 5000.0},
    "workload": {"fingerprint": "f", "classes": ["a", "b"], "image_shape": [1, 8, 8]},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = RunFolder.create(tmp_path / "here" / "run", MANIFEST)
    record = TrialRecord(
        number=0,
        status="complete",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        objectives={"accuracy": 0.9, "size_bytes": 4096.0},
    )
    folder.write_trial(record, {}, {"model.onnx": b"model"})
    return folder.path


@pytest.mark.parametrize("what", [["--all"], ["--trial", "0"], ["--pick", "knee"]])
@pytest.mark.parametrize(
    ("out", "code", "rule"),
    [
        ("..", 2, "not an empty folder"),
        (".", 2, "is the current folder"),
        ("run", 2, "not an empty folder"),
        ("run/trials", 2, "not an empty folder"),
        ("run/run.json", 2, "not an empty folder"),
        ("link", 2, "is a symbolic link"),
        ("run/run.json/deploy", 5, "cannot be written"),
    ],
)
def test_a_place_that_is_taken_is_refused_and_left_alone(
    run: Path,
    out: str,
    code: int,
    rule: str,
    what: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(run.parent)
    (run.parent / "link").symlink_to(run.parent / "nowhere")
    before = sorted(run.parent.parent.rglob("*"))
    assert main(["export", "run", *what, "-o", out]) == code
    captured = capsys.readouterr()
    assert rule in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert sorted(run.parent.parent.rglob("*")) == before


def test_a_linked_artifact_and_a_linked_trial_are_not_followed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = run / "trials" / "0000"
    (trial / "model.onnx").rename(tmp_path / "model.onnx")
    (trial / "model.onnx").symlink_to(tmp_path / "model.onnx")
    out = ["-o", str(tmp_path / "deploy")]
    assert main(["export", str(run), "--trial", "0", *out]) == 5
    assert "symbolic link" in capsys.readouterr().err
    trial.rename(tmp_path / "elsewhere")
    trial.symlink_to(tmp_path / "elsewhere")
    assert main(["export", str(run), "--trial", "0", *out]) == 5
    assert "path leaves the run folder" in capsys.readouterr().err
    assert not (tmp_path / "deploy").exists()
