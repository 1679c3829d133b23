import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from slimtune.results.views.columns import Cell
from slimtune.results.views.front_layout import FilledColumn, FrontTable, fit_columns


def column(heading, *cells):
    return FilledColumn(
        heading, [Cell(**each) if isinstance(each, dict) else Cell(each) for each in cells]
    )


COLUMNS = [
    column("trial", "-", "13", "◆ 15"),
    column(
        "accuracy ↑",
        {"number": "0.9999", "error": "0.0010"},
        {"number": "0.9974", "error": "0.0026"},
        {"number": "0.9947", "error": "0.0037"},
    ),
    column(
        "test ↑",
        {"number": "0.9926", "error": "0.0037"},
        {"number": "0.9852", "error": "0.0052"},
        {"number": "0.9870", "error": "0.0049"},
    ),
    column(
        "size KiB ↓",
        "1201.6",
        {"number": "48.1", "ratio": "25.0×"},
        {"number": "30.4", "ratio": "39.5×"},
    ),
    column(
        "latency ms ↓",
        "0.072",
        {"number": "0.034", "mark": "~", "ratio": "2.1×"},
        {"number": "0.028", "ratio": "2.6×"},
    ),
    column("≈", "", "≈15", ""),
]
PIPELINES = [
    "baseline",
    "taylor 40% → gpfq 3b → KD dkd T=4 rest_weight=1",
    "group_norm 55% → apot 3b → KD base T=8 α=0.5",
]
TABLE = FrontTable(COLUMNS, PIPELINES, ["a note"])


def drawn(table, width):
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(table)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_console_and_every_pipeline_is_whole(width):
    lines = drawn(TABLE, width)
    assert max(map(cell_len, lines)) <= width
    text = " ".join(" ".join(line.split()) for line in lines)
    if width not in (100, 120):  # where a pipeline is wrapped beside the numbers of its row
        assert all(pipeline in text for pipeline in PIPELINES)
    assert "a note" in text


def test_at_200_columns_a_member_takes_one_line():
    lines = drawn(TABLE, 200)
    assert len(lines) == 5
    assert "0.9974 ± 0.0026" in lines[2] and lines[2].rstrip().endswith(PIPELINES[1])


def test_at_80_columns_the_pipeline_stands_below_and_nothing_is_lost():
    lines = drawn(TABLE, 80)
    assert (
        lines[4].split()
        == "13 0.9974 ± 0.0026 0.9852 ± 0.0052 48.1 (25.0×) 0.034 ~ (2.1×) ≈15".split()
    )
    assert lines[5].strip() == PIPELINES[1]
    assert not any("not shown" in line for line in lines)


def test_at_60_columns_error_bars_go_and_it_is_said():
    lines = drawn(TABLE, 60)
    assert "13    0.9974  0.9852  48.1 (25.0×)  0.034 ~ (2.1×)" in "\n".join(lines)
    assert lines[-1] == "not shown at this width: error bars; --format csv has all"


def test_whole_columns_go_last_the_least_first():
    columns, lost = fit_columns(COLUMNS, 38)
    assert [column.heading for column in columns] == [
        "trial", "accuracy\n↑", "test\n↑", "size\nKiB ↓"
    ]  # fmt: skip
    assert lost == ["error bars", "ratios to the baseline", "≈", "latency ms ↓"]
    assert fit_columns(COLUMNS, 100) == (COLUMNS, [])


@given(st.integers(1, 120))
def test_what_is_fitted_fits_or_is_the_trial_and_one_value(width):
    columns, lost = fit_columns(COLUMNS, width)
    needed = sum(
        max(cell_len(line) for line in [*c.heading.split("\n"), *(x.text for x in c.cells)]) + 2
        for c in columns
    )
    assert needed - 2 <= width or len(columns) == 2
    assert len(COLUMNS) - len(columns) == sum("↓" in w or "↑" in w or w == "≈" for w in lost)


def test_brackets_and_wide_letters_are_text():
    table = FrontTable([column("trial", "1")], ["[bold]剪枝[/bold] " + "x" * 60])
    assert "[bold]剪枝[/bold]" in "\n".join(drawn(table, 40))
    assert max(map(cell_len, drawn(table, 40))) <= 40
