import csv
import io
import json
from pathlib import Path

import pytest

from slimtune.cli.main import main
from slimtune.results.folder import RunFolder
from slimtune.results.record import TrialRecord

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
            seed=0,
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
