import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimtune.results import units
from slimtune.results.objectives import OBJECTIVES, objective
from slimtune.results.units import (
    axis_title,
    change,
    in_display_unit,
    number,
    quantity,
    spread,
    times,
)

ACCURACY, SIZE = OBJECTIVES["accuracy"], OBJECTIVES["size_bytes"]
LATENCY, MACS = OBJECTIVES["latency_ms"], OBJECTIVES["macs"]
PACKAGE = Path(units.__file__).parents[1]


@pytest.mark.parametrize(
    ("known", "value", "words"),
    [
        (ACCURACY, 0.98765, "0.9877"),
        (SIZE, 14_950, "14.6 KiB"),
        (SIZE, 3_000_000, "2929.7 KiB"),
        (LATENCY, 0.02431, "0.024 ms"),
        (LATENCY, 9.9996, "10.0 ms"),
        (LATENCY, 1234.5, "1234.5 ms"),
        (MACS, 40_551_000, "40.55 M"),
        (MACS, 12, "12"),
        (ACCURACY, math.nan, "–"),
    ],
)
def test_a_quantity_has_its_unit(known, value, words):
    assert quantity(known, value) == words
    assert words.startswith(number(known, value))


def test_a_metric_of_the_users_own_is_a_plain_number():
    assert quantity(objective("f1:maximize"), 0.123456) == "0.1235"


def test_only_a_latency_can_be_unstable():
    assert quantity(LATENCY, 2.0, stable=False) == "2.000 ms ~" == units.latency(2.0, False)
    assert quantity(ACCURACY, 0.9, stable=False) == "0.9000"


def test_an_accuracy_has_its_error_and_the_number_of_images():
    assert units.accuracy(0.9173, 0.00275, 10000) == "0.9173 ± 0.0027 (n = 10000)"
    assert units.accuracy(0.5) == units.accuracy(0.5, math.nan) == "0.5000"


@pytest.mark.parametrize(
    ("amount", "text"), [(12, "12"), (269_722, "269.7 k"), (40_551_040, "40.55 M"), (3e9, "3 G")]
)
def test_a_count_has_four_digits(amount, text):
    assert units.count(amount) == text


def test_a_share_in_percent_has_a_decimal_where_it_needs_one():
    assert [units.percent(share) for share in (0.3, 0.1234, 1.0, 0)] == [
        "30%",
        "12.3%",
        "100%",
        "0%",
    ]


def test_disk_and_memory_are_in_mib_or_gib():
    assert (units.room(36_910_000), units.room(2**34)) == ("35.2 MiB", "16.0 GiB")


def test_bytes_are_shown_in_kib():
    assert (in_display_unit(SIZE, 2048), axis_title(SIZE)) == (2.0, "size (KiB)")
    assert (in_display_unit(ACCURACY, 0.5), axis_title(ACCURACY)) == (0.5, "accuracy")


@pytest.mark.parametrize(
    ("known", "value", "ratio", "words"),
    [
        (ACCURACY, -0.0123, False, "−1.23 points"),
        (ACCURACY, 0.5, False, "+50.00 points"),
        (SIZE, 0.125, True, "8.0× smaller"),
        (SIZE, 1.5, True, "1.5× larger"),
        (LATENCY, 0.5, True, "2.0× faster"),
        (LATENCY, 2.0, True, "2.0× slower"),
        (LATENCY, 1.001, True, "the same"),
    ],
)
def test_a_change_is_told_by_its_direction(known, value, ratio, words):
    assert change(known, value, ratio) == words


def test_a_spread_goes_from_the_smaller_to_the_larger_factor():
    assert spread(SIZE, 0.1, 0.2, True) == "5.0× to 10.0×"
    assert spread(SIZE, 1.1, 1.2, True) == "1.10× to 1.20×"
    assert spread(ACCURACY, -0.03, -0.01, False) == "± 1.00"
    assert spread(ACCURACY, math.nan, math.nan, False) == ""


def test_a_ratio_has_two_decimals_where_one_would_hide_the_difference():
    assert [times(ratio) for ratio in (0.97, 1.04, 1.494, 1.496)] == [
        "0.97×",
        "1.04×",
        "1.49×",
        "1.5×",
    ]
    assert times(82.54) == "82.5×" and times(math.nan) == ""


@pytest.mark.parametrize(
    ("seconds", "text", "clock"),
    [
        (3.21, "3.2 s", "0:03"),
        (59.96, "1 min 0 s", "1:00"),
        (125, "2 min 5 s", "2:05"),
        (3725, "1 h 2 min", "1:02:05"),
    ],
)
def test_a_duration_is_in_words_and_a_running_clock_in_digits(seconds, text, clock):
    assert (units.duration(seconds), units.clock(seconds)) == (text, clock)


_UNIT = re.compile(r" ?(KiB|MiB|GiB|ms|×|%)(?!\w)")
_BYTES_IN = {2**10, 2**20, 2**30}


def numbers_written_by_hand(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that divide bytes into KiB, fix decimals, or put a unit behind a number."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            below = ast.unparse(node.right)
            if below in {"1024", "2**10", "2**20", "2**30"} or below in map(str, _BYTES_IN):
                yield node.lineno
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            # A loss is a number of no kind that a user compares.
            fixed = re.search(r"\.\d[f%]", ast.unparse(node.format_spec))
            if fixed and "loss" not in ast.unparse(node.value):
                yield node.lineno
        if isinstance(node, ast.JoinedStr):
            for place, behind in enumerate(node.values[1:], start=1):
                value, last = node.values[place - 1], place == len(node.values) - 1
                text = behind.value if isinstance(behind, ast.Constant) else None
                if text == "×" and not last:  # the size of an image
                    continue
                if isinstance(value, ast.FormattedValue) and isinstance(text, str):
                    # An inner call has made text of the number already, and its unit with it.
                    if _UNIT.match(text) and not isinstance(value.value, ast.Call):
                        yield node.lineno


@pytest.mark.parametrize(
    "line", ['f"{x / 1024}"', 'f"{x:.4f}"', 'f"{x} KiB"', 'f"{x:,.1f} ms"', 'f"{100 * x}%"']
)
def test_a_number_written_by_hand_is_found(line):
    assert list(numbers_written_by_hand(ast.parse(line)))


def test_no_other_module_writes_accuracies_bytes_or_milliseconds_by_hand():
    files = [f for unit in ("results", "cli", "search") for f in (PACKAGE / unit).rglob("*.py")]
    assert len(files) > 150
    found = [
        f"{file.relative_to(PACKAGE)}:{line}"
        for file in files
        if file != Path(units.__file__)
        for line in numbers_written_by_hand(ast.parse(file.read_text()))
    ]
    assert found == []
