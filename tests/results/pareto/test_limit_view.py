import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.errors import ConfigError, UserError
from slimtune.results.pareto.limit_view import (
    LimitView,
    looser_limits,
    narrow_front,
    numeric_limits,
    parse_limits,
    resolve,
    search_limits,
)

BASELINE = {"accuracy": 0.95, "latency_ms": 2.0, "size_bytes": 1000}


def test_limits_are_read_as_texts_numbers_and_nothing():
    asked = parse_limits(
        {"min_accuracy": 0.9, "max_latency_ms": np.float64(2), "max_size": " None "}
    )
    assert asked == {"min_accuracy": "0.9", "max_latency": "2.0ms", "max_size": None}
    assert parse_limits({"min_accuracy": None}) == {"min_accuracy": None}
    assert parse_limits(numeric_limits(None, None, 300)) == {"max_size": "300.0B"}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_acuracy": 0.9}, "unknown limit 'min_acuracy'. Did you mean 'min_accuracy'"),
        ({"min_accuracy": 90}, "0.9 is 90 %"),
        ({"max_latency": 2}, "give a unit, e.g. 2ms"),
        ({"max_latency_ms": "2ms"}, "must be a number above 0"),
        ({"max_size_bytes": math.nan}, "max_size_bytes: must be a number above 0"),
    ],
)
def test_what_is_no_limit_is_refused(limits, message):
    with pytest.raises(UserError) as caught:
        parse_limits(limits)
    assert message in str(caught.value)


def test_limits_are_absolute_or_relative_to_the_baseline():
    texts = {"min_accuracy": "-1%", "max_latency": "0.5x", "max_size": None}
    assert resolve(texts, BASELINE) == {"accuracy": 0.94, "latency_ms": 1.0}
    with pytest.raises(UserError, match="the run's baseline has no size_bytes"):
        resolve({"max_size": "0.5x"}, {"accuracy": 0.9})
    assert resolve({"max_size": "5KiB"}, {}) == {"size_bytes": 5120.0}
    with pytest.raises(ConfigError, match="must be in 0..1"):
        resolve({"min_accuracy": "+10%"}, BASELINE)


def test_a_view_changes_what_it_names_and_leaves_the_rest():
    searched = search_limits(
        {
            "config": {"constraints": {"min_accuracy": "-1%", "max_size": "1kB"}},
            "limits": {"accuracy": 0.94, "size_bytes": 1000},
        }
    )
    assert searched.texts == {"accuracy": "-1%", "size_bytes": "1kB"}
    seen = searched.with_limits({"min_accuracy": "0.5", "max_latency": "2x"}, BASELINE)
    assert seen.limits == {"size_bytes": 1000, "accuracy": 0.5, "latency_ms": 4.0}
    assert seen.texts == {"size_bytes": "1kB", "accuracy": "0.5", "latency_ms": "2x"}
    assert seen.with_limits({"max_size": None}, BASELINE).limits.keys() == {
        "accuracy",
        "latency_ms",
    }
    assert search_limits({}) == LimitView({}, {})  # a run from before there were limits


@given(st.floats(0, 1), st.floats(0, 1))
def test_whatever_keeps_either_limit_keeps_the_looser_of_them(one, other):
    least = looser_limits(
        {"accuracy": one, "size_bytes": one}, {"accuracy": other, "size_bytes": other}
    )
    assert least["accuracy"] <= min(one, other) and least["size_bytes"] >= max(one, other)
    assert looser_limits({"accuracy": one}, {"size_bytes": other}) == {}


def test_a_narrowed_front_has_the_knee_that_a_pick_would_take():
    front = pd.DataFrame(
        {
            "trial": [3, 9, 5],
            "accuracy": [0.95, 0.9, 0.5],
            "size_bytes": [1000, 200, 50],
            "knee": [False, True, False],
        }
    )
    seen = narrow_front(front, {"accuracy": 0.92})
    assert seen["trial"].tolist() == [3] and seen["knee"].tolist() == [True]
    assert narrow_front(front, {})["knee"].tolist() == [False, True, False]
    assert narrow_front(front, {"accuracy": 0.99}).empty
