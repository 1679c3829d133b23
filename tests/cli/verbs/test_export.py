from pathlib import Path

import pytest

from slimtune.cli.main import main
from slimtune.cli.screen.phrases import program
from slimtune.conditions import Conditions
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.store.record import TrialRecord

MANIFEST = {
    "config": {"data": "digits"},
    "objectives": ["accuracy", "size_bytes", "latency_ms"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 5000.0, "latency_ms": 5.0},
    "workload": {"fingerprint": "f", "classes": ["a", "b"], "image_shape": [1, 8, 8]},
}
POINTS = [(0.9, 4096, 2.0), (0.85, 2048, 1.0), (0.2, 1024, 0.9)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = RunFolder.create(tmp_path / "run", MANIFEST)
    folder.write_baseline({"objectives": {"accuracy": 0.95}}, {})
    for number, (accuracy, size, latency) in enumerate(POINTS):
        record = TrialRecord(
            number=number,
            status="complete",
            recipe={"prune": {"method": "none"}},
            pipeline="p",
            conditions=Conditions(seed=0),
            objectives={"accuracy": accuracy, "size_bytes": size, "latency_ms": latency},
        )
        folder.write_trial(record, {}, {"model.onnx": b"model of %d" % number})
    failed = TrialRecord(
        number=3,
        status="failed",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        error="no channel left",
    )
    folder.write_trial(failed, {}, {})
    stopped = TrialRecord(
        number=4,
        status="stopped",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        objectives={"accuracy": 0.99, "size_bytes": 1, "latency_ms": 0.1},
        error="fine-tune 2/4: dominated by 3 of 4 peers, 4 of them by fewer",
    )
    folder.write_trial(stopped, {}, {})
    return folder.path


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["--trial", "2"], 2),
        (["--pick", "accuracy"], 0),
        (["--pick", "size"], 1),  # trial 2 knows less than chance: it has collapsed
        (["--pick", "size", "--min-accuracy", "0.1"], 2),
        (["--pick", "size", "--min-accuracy", "0.5"], 1),
        (["--pick", "latency", "--min-accuracy", "0.86"], 0),
        (["--pick", "accuracy", "--max-latency", "1500us"], 1),
        (["--pick", "accuracy", "--max-size", "2KiB"], 1),
        (["--max-size", "1.5 KiB"], 2),
        (["--pick", "size", "--min-accuracy", "-10%"], 1),
    ],
)
def test_the_member_that_was_asked_for_is_copied(
    run: Path, tmp_path: Path, arguments: list[str], number: int
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(run), *arguments, "-o", str(out)]) == 0
    assert (out / "model.onnx").read_bytes() == b"model of %d" % number


def test_the_latency_is_the_one_that_the_front_shows(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [JointRow(trial=trial, latency_ms=0.5 + (trial or 0)) for trial in (None, 0, 1, 2)]
    write_joint(run, rows)
    assert main(["export", str(run), "--trial", "1", "-o", str(tmp_path / "out")]) == 0
    assert "latency 1.5" in capsys.readouterr().err


def test_the_result_is_the_folder_and_the_log_says_how_to_try_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(run), "--pick", "knee", "-o", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n"
    assert captured.err.splitlines()[-1] == (
        f"try it: {program()} evaluate {out}/model.onnx --data digits"
    )
    assert f"use it: python {out}/predict.py image.png" in captured.err


def test_all_members_that_keep_the_limits_get_a_folder_each(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(run), "--all", "--max-size", "3KiB", "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "index.json", "trial-0001", "trial-0002",
    ]  # fmt: skip
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n"
    assert captured.err.startswith(f"2 members of {run}, one folder each; start with")
    again = main(["export", str(run), "--all", "-o", str(out)])
    assert again == 2 and "not an empty folder" in capsys.readouterr().err


def test_a_folder_that_is_no_run_and_a_run_without_a_front_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path), "--all", "-o", str(tmp_path / "x")]) == 5
    assert "is not a slimtune run (no run.json)" in capsys.readouterr().err
    empty = RunFolder.create(tmp_path / "empty", MANIFEST).path
    for what in (["--all"], ["--pick", "knee"]):
        assert main(["export", str(empty), *what, "-o", str(tmp_path / "x")]) == 3
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
    manifest = (empty / "run.json").read_text()
    (empty / "run.json").write_text(manifest.replace('"schema": 1', '"schema": 99'))
    assert main(["export", str(empty), "--all", "-o", str(tmp_path / "x")]) == 5
    assert "has schema 99" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "rule"),
    [
        ([], 2, "Give either --trial N or --pick"),
        (["--trial", "1", "--pick", "knee"], 2, "Give either --trial N or --pick"),
        (["--trial", "1", "--max-size", "1MB"], 2, "Give either --trial N or --pick"),
        (["--trial", "99"], 2, "trial 99 does not exist (0-4)"),
        (["--trial", "3"], 2, "trial 3 failed: no channel left"),
        (
            ["--trial", "4"],
            2,
            "trial 4 has no model: it was stopped after epoch 2 of 4",
        ),
        (["--trial", "-1"], 2, "-1 is not in the range x>=0"),
        (["--pick", "best"], 2, "'best' is not one of 'knee'"),
        (["--max-latency", "2"], 2, "give a unit, e.g. 2ms"),
        (["--max-size", "500 feet"], 2, "unknown unit"),
        (["--min-accuracy", "90"], 2, "must be 0..1, a percentage, or relative"),
        (["--min-accuracy", "0.92"], 3, "closest: trial 0 misses accuracy by 0.02"),
        (["--min-accuracy", "-1%"], 3, "closest: trial 0 misses accuracy by 0.04"),
        (["--all", "--trial", "1"], 2, "--all exports every member"),
        (["--all", "--pick", "knee"], 2, "--all exports every member"),
        (["--all", "--min-accuracy", "0.92"], 3, "closest: trial 0 misses accuracy"),
        (["--all", "--max-size", "2"], 2, "give a unit"),
        (["--pick", "knee", "--format", "onx"], 2, "'onx' is not one of onnx, torch"),
        (["--pick", "knee", "--format", ""], 2, "'' is not one of onnx, torch"),
    ],
)
def test_a_choice_that_makes_no_sense_is_one_line_and_writes_nothing(
    run: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    rule: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(run), *arguments, "-o", str(out)]) == code
    error = capsys.readouterr().err
    assert rule in error
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not out.exists()


def test_a_folder_with_something_in_it_is_left_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["export", str(run), "--pick", "knee", "-o", str(tmp_path)]) == 2
    assert "not an empty folder" in capsys.readouterr().err


def test_a_file_that_is_not_what_the_trial_wrote_is_not_exported(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "trials" / "0001" / "model.onnx").write_bytes(b"other")
    out = tmp_path / "out"
    assert main(["export", str(run), "--trial", "1", "-o", str(out)]) == 5
    assert "SHA-256 mismatch for trial 1" in capsys.readouterr().err
    assert not out.exists()
