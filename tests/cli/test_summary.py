import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from slimtune.cli.main import main
from slimtune.results.folder import RunFolder
from slimtune.results.record import TrialRecord


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
            seed=number,
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
