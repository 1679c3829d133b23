import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from slimtune.cli.screen.live_view import front_so_far
from slimtune.conditions import Conditions
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.run import open_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.views.columns import Cell, front_columns, mark, objective_cell
from slimtune.results.views.report.page import render
from slimtune.results.views.tables import front_table
from slimtune.results.views.whole_front import export_front

ROW = {
    "trial": 3,
    "accuracy": 0.98,
    "accuracy_standard_error": 0.01,
    "size_bytes": 2048,
    "size_ratio": 8.0,
    "latency_ms": 0.5,
    "latency_ratio": 2.0,
    "stable": True,
    "test_accuracy": 0.97,
    "test_standard_error": 0.02,
    "within_noise_of": 7,
    "pipeline": "l1 50%",
}


def texts(table: pd.DataFrame) -> dict[str, str]:
    row = table.to_dict("records")[0]
    return {column.heading: column.cell(row).text for column in front_columns(table)}


def test_a_heading_has_unit_and_direction_and_a_cell_error_and_ratio() -> None:
    assert texts(pd.DataFrame([ROW])) == {
        "accuracy ↑": "0.9800 ± 0.0100",
        "test ↑": "0.9700 ± 0.0200",
        "size KiB ↓": "2.0 (8.0×)",
        "latency ms ↓": "0.500 (2.0×)",
        "≈": "≈7",
    }


def test_by_itself_a_cell_has_its_unit() -> None:
    assert objective_cell(ROW, OBJECTIVES["size_bytes"]).text_with_unit == "2.0 KiB (8.0×)"
    assert objective_cell({"macs": 40_551_040}, OBJECTIVES["macs"]).text_with_unit == "40.55 M"
    assert objective_cell({}, OBJECTIVES["macs"]) == Cell()


def test_a_latency_that_may_be_too_high_has_a_mark_and_no_ratio() -> None:
    cell = objective_cell({**ROW, "stable": False}, OBJECTIVES["latency_ms"])
    assert cell.text_with_unit == "0.500 ms ~"


def test_several_finals_have_mean_and_spread() -> None:
    spread = {"accuracy_mean": 0.96, "accuracy_sd": 0.003}
    assert texts(pd.DataFrame([{**ROW, **spread}]))["accuracy ↑"] == "0.9600 ± 0.0030"
    single = {"accuracy_mean": 0.98, "accuracy_sd": float("nan")}
    assert texts(pd.DataFrame([{**ROW, **single}]))["accuracy ↑"] == "0.9800 ± 0.0100"


def test_test_accuracy_has_a_column_where_accuracy_was_not_optimised() -> None:
    front = pd.DataFrame({"trial": [0], "size_bytes": [1024], "test_accuracy": [0.5]})
    assert texts(front) == {"size KiB ↓": "1.0", "test accuracy ↑": "0.5000"}


def test_what_was_not_measured_is_empty() -> None:
    front = pd.DataFrame({"accuracy": [float("nan")], "test_accuracy": [float("nan")]})
    assert texts(front) == {"accuracy ↑": "", "test ↑": ""}


@pytest.mark.parametrize(
    ("row", "sign"),
    [
        ({"knee": True, "collapsed": False}, "◆ "),
        ({"knee": False, "collapsed": True}, "✗ "),
        ({"on_front": True}, "• "),
        ({}, ""),
    ],
)
def test_a_trial_has_its_mark(row: dict[str, bool], sign: str) -> None:
    assert mark(row) == sign


def test_every_view_has_the_same_columns_and_cells(tmp_path: Path) -> None:
    manifest = {
        "config": {"data": "digits"},
        "objectives": ["accuracy", "macs"],
        "reference_point": {"accuracy": 0.0, "macs": 1e9},
        "workload": {"fingerprint": "f", "validation": 400},
    }
    folder = RunFolder.create(tmp_path / "run", manifest)
    values = {"accuracy": 0.9, "macs": 40_551_040}
    folder.write_trial(
        TrialRecord(
            number=0,
            status="complete",
            recipe={},
            pipeline="l1",
            conditions=Conditions(seed=0),
            objectives=values,
        ),
        {},
        {"model.onnx": b"x"},
    )
    run = open_run(folder.path)
    table, console = front_table(run), Console(file=io.StringIO(), width=100)
    console.print(table)
    index = export_front(run, run.front(), tmp_path / "all") / "README.md"
    views = {
        "terminal": console.file.getvalue(),  # type: ignore[attr-defined]
        "notebook": table._repr_html_(),
        "report": render(run),
        "index of an export": index.read_text(),
        "live": "".join(str(column.header) for column in front_so_far(run.front(), 3, 80).columns),
    }
    for view, text in views.items():
        assert "accuracy ↑" in text and "MACs ↓" in text, view
        assert view == "live" or ("40.55 M" in text and "0.9000 ± 0.0150" in text), view
