"""The table that `make bench` prints."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("table", ROOT / "benchmarks/table.py")
assert SPEC is not None and SPEC.loader is not None
table = importlib.util.module_from_spec(SPEC)
sys.modules["table"] = table  # dataclasses look their module up
SPEC.loader.exec_module(table)


@pytest.mark.parametrize(
    ("values", "least", "met"),
    [((4.0, 6.0, 7.0), True, "yes"), ((4.0,), True, "NO"), ((4.0,), False, "yes")],
)
def test_the_median_is_held_to_the_target(
    values: tuple[float, ...], least: bool, met: str
) -> None:
    row = table.Row("a", "b", values, 5.0, least)
    assert dict(zip(table.COLUMNS, table.cells(row), strict=True))["met"] == met


def test_a_row_gives_n_and_spread_and_its_note_below_the_table() -> None:
    text = table.text([table.Row("export", "torch", (6.0, 8.0, 7.0), 5.0, note="as it comes")])
    header, _, line, note = text.splitlines()
    assert header.split() == list(table.COLUMNS)
    assert line.split() == ["export", "torch", "7x", ">=", "5x", "yes", "3", "6-8"]
    assert note == "note, export: as it comes"


def test_a_line_that_a_script_prints_is_a_row() -> None:
    row = table.parsed(
        "QAT step, apot 4/4, float32 | a step without | 1.45 | <= 1.3 | 5 | 1.20-1.60"
    )
    assert table.cells(row)[2:] == ("1.45x", "<= 1.3x", "NO", "5", "1.2-1.6")
    row = table.parsed("- of which in float32 | naive loop | 2.10 | - | 3 | 2.00-2.20")
    assert table.cells(row)[2:] == ("2.1x", "-", "-", "3", "2-2.2")
    assert table.parsed("what | against | ratio | target | n | spread") is None


def test_every_script_is_described_and_every_description_has_its_script() -> None:
    described = set(re.findall(r"`(\w+\.py)`", (ROOT / "benchmarks/README.md").read_text()))
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    shared = {"table.py", "run.py", "measuring.py", "naive.py"}
    assert scripts - described <= shared | {"make_table.py", "problems.py"}
    assert described - scripts <= {"training.py", "side_by_side.py", "accuracy.py", "gpu.py"}


def test_a_script_that_fails_is_named_and_the_others_are_in_the_table() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/run.py", "table"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "failed: table.py: has neither rows(short) nor main()" in done.stdout
