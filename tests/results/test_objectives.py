import math

import numpy as np
import pytest

from slimtune.errors import UserError
from slimtune.results.objectives import OBJECTIVES, metric_code, objective, parse_objectives


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lat", "latency_ms"),
        ("latency", "latency_ms"),
        ("acuracy", "accuracy"),
        ("size", "size_bytes"),
    ],
)
def test_an_unknown_objective_is_refused_with_the_name_that_was_meant(typed, meant):
    with pytest.raises(UserError, match=f"unknown objective '{typed}'. Did you mean '{meant}'"):
        objective(typed)


def test_an_unknown_objective_without_a_likeness_lists_all_of_them():
    with pytest.raises(UserError) as caught:
        objective("beauty")
    assert "Did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in OBJECTIVES)


def test_objectives_keep_the_order_they_were_asked_for():
    assert [o.name for o in parse_objectives(["size_bytes", "accuracy"])] == [
        "size_bytes",
        "accuracy",
    ]


@pytest.mark.parametrize("names", [[], ["accuracy"], ["accuracy", "accuracy"]])
def test_fewer_than_two_different_objectives_are_refused(names):
    with pytest.raises(UserError, match="objectives: "):
        parse_objectives(names)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("accuracy", math.nan, "non-finite"),
        ("latency_ms", math.inf, "non-finite"),
        ("accuracy", 1.0001, "metric out of range"),
        ("latency_ms", -0.1, "metric out of range"),
        ("size_bytes", "many", "not a number"),
        ("accuracy", True, "not a number"),
        ("accuracy", None, "not a number"),
    ],
)
def test_a_value_that_cannot_have_been_measured_has_a_fault(name, value, reason):
    assert OBJECTIVES[name].fault(value).startswith(f"{reason}: {name} is ")


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25), np.int64(1)])
def test_a_value_in_range_has_no_fault_whatever_number_type_it_is(value):
    assert OBJECTIVES["accuracy"].fault(value) is None


def test_a_metric_of_the_users_own_is_known_by_its_name_alone() -> None:
    (asked, size) = parse_objectives(("/a/metrics.py:f1:maximize", "size_bytes"))
    assert (asked.name, asked.title, asked.direction) == ("f1:maximize", "f1", "maximize")
    assert OBJECTIVES["f1:maximize"] == asked and "f1:maximize" in OBJECTIVES
    assert OBJECTIVES["ece:minimize"].direction == "minimize"
    assert asked.fault(-3.0) is None and asked.fault(math.nan) is not None
    assert metric_code("/a/metrics.py:f1:maximize") == "/a/metrics.py:f1"
    assert metric_code("f1:maximize") is None and metric_code("accuracy") is None


@pytest.mark.parametrize("name", ["f1", "f1:up", "a.py:f1", "m.py:f1:maximize", 3])
def test_nothing_else_is(name: object) -> None:
    assert name not in OBJECTIVES


def test_one_name_from_two_files_is_refused() -> None:
    with pytest.raises(UserError, match="name each one once"):
        parse_objectives(("a.py:f1:maximize", "b.py:f1:maximize"))


def test_volume_counts_from_a_value_on_the_wrong_side_of_the_baseline() -> None:
    assert OBJECTIVES["accuracy"].worst(0.9) == 0.0
    assert OBJECTIVES["size_bytes"].worst(100.0) == pytest.approx(110.0)
    assert OBJECTIVES["f1:maximize"].worst(0.8) == 0.0
    assert OBJECTIVES["gain:maximize"].worst(-2.0) < -2.0
    assert OBJECTIVES["loss:minimize"].worst(0.1) > 0.1
    assert OBJECTIVES["gain:minimize"].worst(-2.0) > -2.0
