import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.errors import NothingMatchesError, UserError
from slimtune.results.pareto.selection import (
    front_distances,
    front_knee,
    knee,
    members_within,
    pick,
)

BOTH = ["maximize", "minimize"]
FRONT = pd.DataFrame(
    {
        "trial": [3, 9, 5, 7],
        "accuracy": [0.95, 0.896, 0.80, 0.50],
        "size_bytes": [1_000_000, 200_000, 50_000, 40_000],
        "latency_ms": [2.0, 1.0, 0.9, 0.8],
        "pipeline": ["a", "b", "c", "d"],
    }
)


def test_the_knee_is_nearest_to_the_best_of_everything():
    # By hand: scaled points (0,1), (0.2,0.1), (1,0): distances 1, sqrt(0.05), 1.
    values = np.array([[0.9, 110.0], [0.8, 20.0], [0.4, 10.0]])
    assert knee(values, BOTH, [False, False]) == 1


def test_sizes_count_by_ratio_where_that_is_asked_for():
    # By hand: the second point is sqrt(0.4² + 0.5²) = 0.64 away when halvings count, and
    # sqrt(0.4² + 0.33²) = 0.52 when bytes count; the third is 0.58 away either way.
    values = np.array([[1.0, 400.0], [0.6, 200.0], [0.42, 100.0], [0.0, 100.0]])
    assert knee(values, BOTH, [False, True]) == 2
    assert knee(values, BOTH, [False, False]) == 1


def test_a_tie_goes_to_the_higher_accuracy_then_to_the_lower_index():
    values = np.array([[0.5, 10.0], [0.9, 20.0], [0.9, 20.0]])
    assert knee(values, BOTH, [False, False]) == 1


@pytest.mark.parametrize("log", [True, False])
def test_a_front_of_one_and_equal_points_have_a_knee(log):
    assert knee(np.array([[0.5, 10.0]]), BOTH, [False, log]) == 0
    assert knee(np.array([[0.5, 10.0]] * 3), BOTH, [False, log]) == 0
    assert knee(np.array([[0.5, 0.0], [0.5, 0.0]]), BOTH, [False, log]) == 0
    assert knee(np.array([[math.nan, 1.0], [0.5, 2.0]]), BOTH, [False, log]) == 1


@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.integers(1, 1000)), min_size=1, max_size=8, unique=True
    ),
    st.sampled_from([0.001, 0.5, 1024.0]),
)
def test_the_unit_of_a_size_does_not_move_the_knee(points, unit):
    values = np.array(points, dtype=float)
    scaled = values * [1, unit]
    assert knee(values, BOTH, [False, True]) == knee(scaled, BOTH, [False, True])


@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.integers(1, 1000)), min_size=1, max_size=8, unique=True
    )
)
def test_no_other_point_dominates_the_knee(points):
    values = np.array(points, dtype=float)
    accuracy, size = values[knee(values, BOTH, [False, True])]
    for other_accuracy, other_size in points:
        better = other_accuracy > accuracy or other_size < size
        assert not (other_accuracy >= accuracy and other_size <= size and better)


@pytest.mark.parametrize(("how", "number"), [("accuracy", 3), ("size", 7), ("latency", 7)])
def test_the_best_in_one_objective_is_picked(how, number):
    assert pick(FRONT, how) == number


def test_limits_leave_the_best_that_keeps_them():
    assert pick(FRONT, "size", min_accuracy=0.8) == 5
    assert pick(FRONT, "accuracy", max_size_bytes=200_000) == 9
    assert pick(FRONT, "latency", min_accuracy=0.9) == 3
    assert pick(FRONT, "accuracy", max_latency_ms=0.9, min_accuracy=0.6) == 5


def test_a_limit_that_the_knee_keeps_does_not_move_it():
    number = pick(FRONT)
    row = FRONT[FRONT.trial == number].iloc[0]
    assert pick(FRONT, min_accuracy=row.accuracy, max_size_bytes=row.size_bytes) == number


def test_a_tie_in_the_picked_objective_goes_to_the_one_nearer_to_the_knee():
    front = FRONT.assign(latency_ms=[2.0, 0.8, 0.9, 0.8])
    assert pick(front, "latency") == 9


@pytest.mark.parametrize(
    ("limits", "nearest"),
    [
        (
            {"min_accuracy": 0.9, "max_latency_ms": 1},
            "no trial has accuracy >= 0.9 and latency <= 1 ms; "
            "closest: trial 9 misses accuracy by 0.004",
        ),
        ({"max_size_bytes": 30 * 1024}, "closest: trial 7 misses size by 9.062 KiB"),
        ({"min_accuracy": 0.96}, "closest: trial 3 misses accuracy by 0.01"),
        (
            {"max_latency_ms": 0.4, "max_size_bytes": 20_000},
            "closest: trial 7 misses latency by 0.4 ms and size by 19.53 KiB",
        ),
    ],
)
def test_limits_that_nothing_keeps_name_the_nearest_miss(limits, nearest):
    with pytest.raises(NothingMatchesError) as caught:
        pick(FRONT, "size", **limits)
    assert nearest in str(caught.value)
    assert caught.value.exit_code == 3


def test_an_empty_front_has_nothing_to_pick():
    with pytest.raises(NothingMatchesError, match="no trial of this run finished"):
        pick(FRONT.iloc[:0])


@pytest.mark.parametrize(
    ("how", "limits", "reason"),
    [
        ("kneee", {}, "unknown pick 'kneee'. Did you mean 'knee'"),
        ("knee", {"min_accuracy": 90}, "0.9 is 90 %"),
        ("knee", {"min_accuracy": math.nan}, "min_accuracy"),
        ("knee", {"max_latency_ms": 0}, "max_latency_ms: must be above 0"),
        ("knee", {"max_size_bytes": math.nan}, "max_size_bytes: must be above 0"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(how, limits, reason):
    with pytest.raises(UserError, match=reason):
        pick(FRONT, how, **limits)


def test_a_limit_on_what_the_run_did_not_optimise_is_refused():
    front = FRONT.drop(columns="latency_ms")
    for arguments in ({"how": "latency"}, {"max_latency_ms": 2}):
        with pytest.raises(
            UserError, match=r"latency_ms is not an objective .*accuracy, size_bytes"
        ):
            pick(front, **arguments)


def collapsed_front():
    front = pd.concat([FRONT, pd.DataFrame([[8, 0.1, 30_000, 0.7, "e"]], columns=FRONT.columns)])
    return front.assign(collapsed=[False] * 4 + [True]).reset_index(drop=True)


def test_a_collapsed_member_is_picked_only_where_a_least_accuracy_allows_it():
    front = collapsed_front()
    assert pick(front, "size") == pick(front, "latency") == 7
    assert pick(front, "size", max_latency_ms=0.7) == 8  # there is no other
    assert pick(front, "size", min_accuracy=0.05) == 8
    assert pick(front, "accuracy") == 3


def test_a_collapsed_member_does_not_move_the_knee():
    rows = [(0.95, 1e6, 2.0), (0.94, 2e5, 1.5), (0.85, 5e4, 1.0), (0.1, 4e4, 0.9)]
    front = pd.DataFrame(rows, columns=["accuracy", "size_bytes", "latency_ms"])
    told = front.assign(collapsed=[False, False, False, True])
    # By hand, on the scale of the first three: sqrt(2), sqrt(0.01 + 0.214 + 0.342), 1.
    assert front_distances(told)[:3] == pytest.approx([2**0.5, 0.7525, 1.0], abs=0.001)
    assert front_knee(told) == front_knee(front.iloc[:3]) == 1
    # A scale of accuracy that reaches down to 0.1 takes 0.94 and 0.85 for much the same.
    assert front_knee(front) == front_knee(told.assign(collapsed=True)) == 2


def test_matching_says_which_members_keep_the_limits():
    assert members_within(FRONT, {"accuracy": 0.8, "latency_ms": 1.0}).tolist() == [
        False, True, True, False,
    ]  # fmt: skip
    assert members_within(FRONT, {}).all()
    with pytest.raises(UserError, match="macs is not an objective of this run"):
        members_within(FRONT, {"macs": 1.0})
