import pytest

from slimtune.cli.choosing import resolved
from slimtune.errors import UserError

BASELINE = {"accuracy": 0.95, "size_bytes": 4000.0}


def test_relative_limits_are_relative_to_the_baseline() -> None:
    options = {"min_accuracy": "-1%", "max_size": "0.5x", "max_latency": "2ms"}
    expected = {"accuracy": 0.94, "size_bytes": 2000.0, "latency_ms": 2.0}
    assert resolved(options, BASELINE) == pytest.approx(expected)
    assert resolved({"min_accuracy": None, "max_size": None}, BASELINE) == {}


def test_a_baseline_without_the_value_is_told() -> None:
    with pytest.raises(UserError, match="--max-latency 0.5x: the run's baseline has no latency"):
        resolved({"max_latency": "0.5x"}, BASELINE)
