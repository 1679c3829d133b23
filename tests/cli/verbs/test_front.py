import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from slimtune.cli.main import main
from slimtune.conditions import Conditions
from slimtune.results.store.finals import FinalKey, write_final_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import seal

MANIFEST = {
    "config": {"data": "digits"},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 5000.0},
    "workload": {"fingerprint": "f"},
}
POINTS = [(0.9, 4000), (0.8, 2000), (0.7, 3000)]  # the last is dominated by the second


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = RunFolder.create(tmp_path / "run", MANIFEST)
    folder.write_baseline({"objectives": {"accuracy": 0.95, "size_bytes": 4500}}, {})
    for number, (accuracy, size) in enumerate(POINTS):
        record = TrialRecord(
            number=number,
            status="complete",
            recipe={},
            pipeline=f"l1 [{number}]",
            conditions=Conditions(seed=0),
            objectives={"accuracy": accuracy, "size_bytes": size},
        )
        folder.write_trial(record, {}, {"model.onnx": b"x"})
    return folder.path


def test_the_table_shows_the_members_and_the_baseline(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["front", str(run)]) == 0
    captured = capsys.readouterr()
    assert "l1 [0]" in captured.out and "l1 [1]" in captured.out
    assert "l1 [2]" not in captured.out
    assert "baseline" in captured.out
    assert captured.err == ""


def test_json_and_csv_hold_the_same_members(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["front", str(run), "--format", "json"]) == 0
    members = json.loads(capsys.readouterr().out)
    assert [(m["trial"], m["accuracy"], m["size_bytes"]) for m in members] == [
        (0, 0.9, 4000),
        (1, 0.8, 2000),
    ]
    assert main(["front", str(run), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["trial"] for row in rows] == ["0", "1"]


@pytest.mark.parametrize("style", ["table", "json", "csv"])
def test_a_file_gets_what_standard_output_would_have_got(
    run: Path, tmp_path: Path, style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "front.txt"
    assert main(["front", str(run), "--format", style, "-o", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["front", str(run), "--format", style]) == 0
    assert file.read_text() == capsys.readouterr().out


def test_a_file_in_a_folder_that_does_not_exist_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["front", str(run), "-o", str(tmp_path / "no" / "f.csv")]) == 2
    assert "parent folder does not exist" in capsys.readouterr().err


def test_a_damaged_record_is_an_unusable_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "trials" / "0001" / "result.json").write_text("{")
    assert main(["front", str(run)]) == 5
    assert "0001" in capsys.readouterr().err


def trials(captured: str) -> list[int]:
    return [member["trial"] for member in json.loads(captured)]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--min-accuracy", "0.85"], [0]),
        (["--min-accuracy", "-10%"], [0]),
        (["--max-size", "0.5x"], [1]),
        (["--pick", "size"], [1]),
        (["--pick", "accuracy", "--max-size", "3KiB"], [1]),
        (["--all"], [0, 1, 2]),
        (["--all", "--max-size", "3000B"], [1, 2]),
    ],
)
def test_what_keeps_the_limits_is_shown(
    run: Path, options: list[str], numbers: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["front", str(run), "--format", "json", *options]) == 0
    assert trials(capsys.readouterr().out) == numbers


@pytest.mark.parametrize("options", [[], ["--pick", "knee"], ["--all"]])
def test_when_nothing_matches_the_nearest_miss_is_named_and_the_code_is_3(
    run: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["front", str(run), "--min-accuracy", "0.91", *options]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "closest: trial 0 misses accuracy by 0.01" in captured.err


def test_an_empty_front_is_nothing_that_matches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(tmp_path / "empty", MANIFEST)
    assert main(["front", str(folder.path)]) == 3
    assert "no trial of this run finished" in capsys.readouterr().err


def test_all_shows_members_by_a_mark_and_says_what_it_leaves_out(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = TrialRecord(
        number=3,
        status="failed",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        error="no",
    )
    RunFolder.open(run).write_trial(failed, {}, {})
    assert main(["front", str(run), "--all"]) == 0
    captured = capsys.readouterr()
    assert "• 0" in captured.out and "l1 [2]" in captured.out and "• 2" not in captured.out
    assert "not shown: 1 failed" in captured.err
    assert main(["front", str(run), "--all", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert (rows[3]["status"], rows[3]["error"], rows[3]["accuracy"]) == ("failed", "no", None)


def test_the_format_is_that_of_the_file_name(run: Path, tmp_path: Path) -> None:
    for name in ("f.json", "f.CSV", "f.parquet", "f.txt"):
        assert main(["front", str(run), "-o", str(tmp_path / name)]) == 0
    assert json.loads((tmp_path / "f.json").read_text())[0]["trial"] == 0
    assert (tmp_path / "f.CSV").read_text().startswith("trial,accuracy")
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert table["trial"].tolist() == [0, 1]
    assert "baseline" in (tmp_path / "f.txt").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "parquet"], "add -o FILE.parquet"),
        (["--pick", "knee", "--all"], "give one"),
        (["--max-latency", "2ms"], "latency_ms is not an objective of this run"),
        (["--max-size", "5"], "give a unit"),
        (["--pick", "kne"], "'kne' is not one of"),
    ],
)
def test_bad_input_is_refused(
    run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["front", str(run), *options]) == 2
    assert message in capsys.readouterr().err


def test_json_may_be_asked_for_before_and_after_the_verb(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--json", "front", str(run)], ["front", str(run), "--json"]):
        assert main(arguments) == 0
        assert trials(capsys.readouterr().out) == [0, 1]


def with_limits(run: Path, **limits: float) -> Path:
    """Change the limits of the search in run.json."""
    manifest = json.loads((run / "run.json").read_text())
    manifest["limits"] = limits
    manifest["config"]["constraints"] = {"max_size": "2kB", "min_accuracy": "0.75"}
    (run / "run.json").write_bytes(seal(manifest))
    return run


def members(run: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[int]:
    assert main(["front", str(run), "--format", "json", *options]) == 0
    return [row["trial"] for row in json.loads(capsys.readouterr().out)]


def test_limits_of_the_search_can_be_tightened_loosened_and_removed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_limits(run, size_bytes=2000.0, accuracy=0.75)
    assert members(run, capsys) == [1]
    assert members(run, capsys, "--max-size", "4kB") == [0, 1]
    assert members(run, capsys, "--max-size", "none") == [0, 1]
    assert members(run, capsys, "--max-size", "none", "--min-accuracy", "0.85") == [0]
    assert members(run, capsys, "--max-size", "5kB", "--pick", "accuracy") == [0]
    assert main(["front", str(run), "--min-accuracy", "0.85"]) == 3
    line = capsys.readouterr().err
    assert line.count("no trial has") == 1
    assert "size <= 2 kB" in line and "accuracy >= 0.85" in line


def test_the_limits_that_a_table_keeps_are_said(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_limits(run, size_bytes=2000.0, accuracy=0.75)
    assert main(["front", str(run)]) == 0
    told = capsys.readouterr().err
    assert told.startswith(
        "limits    size <= 2 kB, accuracy >= 0.75 · set by the search; --max-size,"
    )
    assert main(["front", str(run), "--max-size", "1x", "--min-accuracy", "none"]) == 0
    assert capsys.readouterr().err == "limits    size <= 4.395 KiB (1x)\n"


def test_a_front_of_finals_says_which_trials_looser_limits_would_add(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_limits(run, size_bytes=2000.0)
    folder = RunFolder.open(run)
    key = FinalKey(1, 30, 0)
    write_final_run(folder, key, folder.record(1), spec={}, files={})
    write_joint(run, [JointRow(trial=1, final=key.name, repeats=1)])
    assert main(["front", str(run), "--max-size", "none"]) == 0
    captured = capsys.readouterr()
    assert "l1 [1]" in captured.out and "l1 [0]" not in captured.out
    assert "not shown: 1 trial within these limits but without a final (0)" in captured.err
