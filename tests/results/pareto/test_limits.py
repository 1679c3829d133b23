import math

import pytest

from slimtune.errors import ConfigError, UserError
from slimtune.results.pareto.limits import (
    certain_limits,
    certain_violations,
    joint_limits,
    keeps,
    may_keep,
    parse_limit,
    resolve_limits,
    violations,
)

BASELINE = {"accuracy": 0.92, "size_bytes": 1000, "latency_ms": 4.0}


@pytest.mark.parametrize(
    ("name", "text", "limit"),
    [
        ("max_latency", "2ms", 2.0),
        ("max_latency", "500us", 0.5),
        ("max_latency", "0.5x", 2.0),
        ("max_latency", "-20%", 3.2),
        ("max_latency", "+10%", 4.4),
        ("max_size", "500KiB", 512000.0),
        ("max_size", "0.25x", 250.0),
        ("max_size", " .25 × ", 250.0),
        ("min_accuracy", "0.9", 0.9),
        ("min_accuracy", "90%", 0.9),
        ("min_accuracy", "-1%", 0.91),
        ("min_accuracy", "+0.5%", 0.925),
        ("min_accuracy", "0.5x", 0.46),
    ],
)
def test_a_limit_is_absolute_or_relative_to_the_baseline(name, text, limit) -> None:
    found = resolve_limits({name: text}, BASELINE)
    assert list(found.values()) == [pytest.approx(limit)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("max_latency", "2", "give a unit, e.g. 2ms"),
        ("max_latency", "fast", "must be a number and a unit"),
        ("max_latency", "-0.5x", "write 0.5x, -20% or a value with its unit"),
        ("max_size", "20%", "write 0.5x, -20%"),
        ("max_size", "-100%", "leaves nothing of the baseline"),
        ("max_size", "0x", "leaves nothing"),
        ("max_size", "5 apples", "unknown unit"),
        ("min_accuracy", "1.5", "must be 0..1"),
        ("min_accuracy", "nan", "must be 0..1"),
        ("min_accuracy", "-0.1", "must be 0..1"),
    ],
)
def test_what_is_no_limit_is_refused_in_one_line(name, text, message) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_limit(name, text)
    assert "\n" not in str(caught.value)


def test_an_accuracy_that_none_can_have_is_refused_with_the_baselines() -> None:
    with pytest.raises(ConfigError, match=r"min_accuracy: .* \+9% is 1.01 with .* 0.92"):
        resolve_limits({"min_accuracy": "+9%"}, BASELINE)


def test_a_constraint_that_is_not_given_limits_nothing() -> None:
    assert resolve_limits({"max_size": None, "max_latency": None}, BASELINE) == {}
    assert keeps({}, {})


def test_violations_are_parts_of_the_limit_so_that_bytes_and_milliseconds_add_up() -> None:
    limits = {"size_bytes": 1000.0, "accuracy": 0.8}
    found = violations(limits, {"size_bytes": 1500, "accuracy": 0.6})
    assert found == pytest.approx({"size_bytes": 0.5, "accuracy": 0.25})
    kept = violations(limits, {"size_bytes": 1000, "accuracy": 0.9})
    assert kept["size_bytes"] == 0 and kept["accuracy"] < 0
    assert keeps(limits, {"size_bytes": 1000, "accuracy": 0.8})
    assert not keeps(limits, {"size_bytes": 1001, "accuracy": 0.8})


def test_what_is_not_measured_yet_breaks_nothing_but_is_not_kept_either() -> None:
    limits = {"size_bytes": 1000.0, "accuracy": 0.8}
    assert list(violations(limits, {"size_bytes": 1500})) == ["size_bytes"]
    assert violations(limits, {"accuracy": None}) == {}
    assert not keeps(limits, {"size_bytes": 500})
    assert not keeps(limits, {"size_bytes": 500, "accuracy": math.nan})


LIMITS = {"latency_ms": 1.0, "accuracy": 0.9}


@pytest.mark.parametrize("mark", ["latency_stable", "stable"])
def test_an_unstable_latency_breaks_no_limit_but_all_else_does(mark: str) -> None:
    slow = {"latency_ms": 2.0, "accuracy": 0.95}
    assert not may_keep(LIMITS, slow) and not may_keep(LIMITS, {**slow, mark: True})
    unstable = {**slow, mark: False}
    assert may_keep(LIMITS, unstable) and certain_limits(LIMITS, unstable) == {"accuracy": 0.9}
    assert not may_keep(LIMITS, {**unstable, "accuracy": 0.8})
    assert certain_violations(LIMITS, slow)["latency_ms"] == 1.0
    assert certain_violations(LIMITS, unstable)["latency_ms"] == 0.0
    assert certain_violations(LIMITS, unstable)["accuracy"] < 0
    kept = {"latency_ms": 0.5, "accuracy": 0.95, mark: False}
    assert certain_violations(LIMITS, kept)["latency_ms"] == -0.5  # slower than it is, at most


def test_a_relative_limit_is_of_what_the_baseline_takes_beside_the_trials() -> None:
    assert joint_limits(LIMITS, "0.7x", 2.0) == {"latency_ms": 1.4, "accuracy": 0.9}
    assert joint_limits(LIMITS, "1ms", 2.0) == LIMITS
    assert joint_limits(LIMITS, None, 2.0) == joint_limits(LIMITS, "0.7x", None) == LIMITS
    assert joint_limits({"accuracy": 0.9}, "0.7x", 2.0) == {"accuracy": 0.9}
