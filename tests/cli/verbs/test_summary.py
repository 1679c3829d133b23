import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from slimtune.cli.main import main
from slimtune.conditions import Conditions
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import seal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    manifest = {
        "config": {"summary": ["prune.method", "accuracy"]},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 1100},
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(tmp_path / "a", manifest)
    for number, accuracy in enumerate((0.9, 0.94)):
        record = TrialRecord(
            number=number,
            status="complete",
            recipe={"prune": {"method": "l1"}},
            pipeline="l1 50%",
            conditions=Conditions(seed=number),
            objectives={"accuracy": accuracy, "size_bytes": 500},
        )
        folder.write_trial(record, {}, {})
    folder.write_baseline({"objectives": {"accuracy": 0.95, "size_bytes": 1000}}, {})
    return folder.path


def test_the_runs_own_columns_are_shown_if_none_are_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", str(run)]) == 0
    text = capsys.readouterr().out
    assert "0.9200 ± 0.0283" in text and "l1" in text and "KiB" not in text


def test_columns_can_be_chosen_and_formats_are_read_by_programs(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["summary", str(run), "--columns", "pipeline, size_bytes,compression_ratio"]
    for words in ([*command, "--format", "json"], ["--json", *command]):
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)[1]["compression_ratio"] == 2.0
    assert main([*command, "--format", "csv", "-o", str(tmp_path / "s.csv")]) == 0
    assert pd.read_csv(tmp_path / "s.csv")["pipeline"].tolist() == ["baseline", "l1 50%"]


def test_a_figure_is_a_png(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", str(run), "--figure", str(tmp_path / "spread.png")]) == 0
    assert "drawn to" in capsys.readouterr().err
    assert Image.open(tmp_path / "spread.png").format == "PNG"


def test_an_unknown_column_is_exit_2_in_one_line(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", str(run), "--columns", "acuracy"]) == 2
    assert "Did you mean 'accuracy'" in capsys.readouterr().err


@pytest.mark.parametrize("pipeline", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)"])
def test_no_text_is_a_formula_of_a_spreadsheet(
    run: Path, pipeline: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run / "trials" / "0001" / "result.json"
    record = json.loads(file.read_text())
    changed = {**record, "pipeline": pipeline, "recipe": {"prune": {"method": pipeline}}}
    file.write_bytes(seal(changed))
    command = [
        "summary",
        str(run),
        "--format",
        "csv",
        "--columns",
        "pipeline,prune.method,accuracy",
    ]
    assert main(command) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"'{pipeline},'{pipeline},0.94,1")


@pytest.mark.parametrize("names", [0.5, 3, "accuracy", {"a": 1}, [1]])
def test_columns_of_a_run_that_are_no_names_are_refused(
    run: Path, names: object, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((run / "run.json").read_text())
    manifest["config"]["summary"] = names
    (run / "run.json").write_bytes(seal(manifest))
    assert main(["summary", str(run)]) == 5
    assert "run.json: config.summary must be names, but got" in capsys.readouterr().err


def test_escape_sequences_of_a_record_reach_no_terminal(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run / "trials" / "0001" / "result.json"
    record = {**json.loads(file.read_text()), "recipe": {}, "pipeline": "\x1b]0;owned\x07l1"}
    file.write_bytes(seal(record))
    for style in ("table", "csv", "json"):
        columns = ["--columns", "pipeline,accuracy"]
        assert main(["summary", str(run), "--format", style, *columns]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out and "\x07" not in out and "owned" in out
