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


def test_every_script_is_described_and_every_description_has_its_script() -> None:
    described = set(re.findall(r"`(\w+\.py)`", (ROOT / "benchmarks/README.md").read_text()))
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    assert scripts - described <= {"table.py", "run.py"}
    assert described - scripts <= {"training.py"}


def test_a_script_that_fails_is_named_and_the_others_are_in_the_table() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/run.py", "table"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "failed: table.py: has no rows(short)" in done.stdout
