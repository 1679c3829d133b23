import json
from pathlib import Path

import pytest

from slimtune.cli.main import main
from slimtune.results.store.folder import RunFolder


def test_the_page_lands_in_the_run_or_where_it_is_wanted(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(digits_run), "-o", str(page), "--png", str(tmp_path / "f")]) == 0
    captured = capsys.readouterr()
    files = [tmp_path / "f" / name for name in ("front.png", "hypervolume.png")]
    assert captured.out.splitlines() == [str(page), *map(str, files)]
    assert captured.err == "too few trials for importance.png\n"
    assert page.read_text().startswith("<!doctype html>")
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert (digits_run / "report.html").is_file()  # the search left it


def test_json_names_the_files(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert main(["--json", "report", str(digits_run), "-o", str(page)]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(page), "figures": []}


def test_what_cannot_be_reported_is_refused(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 5
    assert "is not a slimtune run" in capsys.readouterr().err
    assert main(["report", str(digits_run), "-o", str(tmp_path / "no" / "x.html")]) == 2
    assert "parent folder does not exist" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    page = ["-o", str(tmp_path / "x.html")]
    assert main(["report", str(digits_run), *page, "--png", str(tmp_path / "file")]) == 2
    assert "cannot create" in capsys.readouterr().err
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 1.0},
        "workload": {"fingerprint": "f"},
    }
    empty = RunFolder.create(tmp_path / "empty", manifest).path
    assert main(["report", str(empty)]) == 3
    assert "no trial has finished yet" in capsys.readouterr().err
    assert not (empty / "report.html").exists()
