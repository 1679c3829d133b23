import math

import pytest

from slimtune.results.objectives import OBJECTIVES
from slimtune.results.words import (
    change,
    duration,
    quantity,
    scaled,
    spread,
    times,
    unit,
)

ACCURACY, SIZE = OBJECTIVES["accuracy"], OBJECTIVES["size_bytes"]
LATENCY, MACS = OBJECTIVES["latency_ms"], OBJECTIVES["macs"]


@pytest.mark.parametrize(
    ("known", "value", "words"),
    [
        (ACCURACY, 0.98765, "0.9877"),
        (SIZE, 14_950, "14.6 KiB"),
        (SIZE, 3_000_000, "2,929.7 KiB"),
        (LATENCY, 0.02431, "0.024 ms"),
        (LATENCY, 1234.5, "1,234.5 ms"),
        (MACS, 40_551_000, "40.55 M"),
        (MACS, 12, "12"),
        (ACCURACY, math.nan, "–"),
    ],
)
def test_a_quantity_has_its_unit(known, value, words):
    assert quantity(known, value) == words


def test_bytes_are_shown_in_kib():
    assert (scaled(SIZE, 2048), unit(SIZE)) == (2.0, " (KiB)")
    assert (scaled(ACCURACY, 0.5), unit(ACCURACY)) == (0.5, "")


@pytest.mark.parametrize(
    ("known", "value", "ratio", "words"),
    [
        (ACCURACY, -0.0123, False, "−1.23 points"),
        (ACCURACY, 0.5, False, "+50.00 points"),
        (SIZE, 0.125, True, "8.00× smaller"),
        (SIZE, 1.5, True, "1.50× larger"),
        (LATENCY, 0.5, True, "2.00× faster"),
        (LATENCY, 2.0, True, "2.00× slower"),
        (LATENCY, 1.001, True, "the same"),
    ],
)
def test_a_change_is_told_by_its_direction(known, value, ratio, words):
    assert change(known, value, ratio) == words


def test_a_spread_goes_from_the_smaller_to_the_larger_factor():
    assert spread(SIZE, 0.1, 0.2, True) == "5.00 to 10.00"
    assert spread(SIZE, 1.1, 1.2, True) == "1.10 to 1.20"
    assert spread(ACCURACY, -0.03, -0.01, False) == "± 1.00"
    assert spread(ACCURACY, math.nan, math.nan, False) == ""


def test_times_and_durations():
    assert times(82.54) == "82.5×" and times(math.nan) == ""
    assert [duration(s) for s in (3.21, 125, 3725)] == ["3.2 s", "2 min 5 s", "1 h 2 min"]
