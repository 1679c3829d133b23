import copy
from typing import Any

import pytest

from slimtune.errors import ConfigError, RunError
from slimtune.results.store.shapes import check_baseline, check_workload

WORKLOAD: dict[str, Any] = {
    "fingerprint": "f",
    "validation": 250,
    "test": 539,
    "chance": 0.1,
    "classes": ["a", "b"],
    "mean": [0.3],
    "std": [1],
    "image_shape": [1, 8, 8],
    "architecture": {"name": "resnet8", "num_classes": 2, "in_channels": 1},
    "a key of a later version": [{}],
}
BASELINE: dict[str, Any] = {
    "objectives": {"accuracy": 0.9, "size_bytes": 10, "f1:maximize": -3.5},
    "metrics": {"params": 3, "activations": "int8", "latency_stable": True, "bops": None},
    "test_accuracy": 1,
    "recipe": {},
}
ODD = ["3", [], {}, [[[]]], -1, 2**63, 10**400, 1e308, float("nan"), None, True]


def test_what_a_search_writes_is_accepted() -> None:
    check_workload(WORKLOAD)
    check_workload({"fingerprint": "f"})
    check_baseline(BASELINE, "x")


@pytest.mark.parametrize("key", ["validation", "test", "chance", "classes", "std", "image_shape"])
@pytest.mark.parametrize("value", [v for v in ODD if v != []], ids=lambda v: str(v)[:12])
def test_a_workload_of_another_form_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"workload.{key}"):
        check_workload({**WORKLOAD, key: value})


@pytest.mark.parametrize(
    ("path", "value"),
    [("image_shape", [1, 8]), ("image_shape", [1, 8, "8"]), ("mean", [[]]), ("classes", [1])],
)
def test_lists_are_looked_into(path: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"workload.{path}"):
        check_workload({**WORKLOAD, path: value})


def test_a_workload_needs_its_fingerprint() -> None:
    with pytest.raises(ConfigError, match="fingerprint"):
        check_workload({})


@pytest.mark.parametrize("value", ODD, ids=lambda v: str(v)[:12])
def test_a_baseline_with_an_accuracy_that_none_has_is_refused(value: Any) -> None:
    for name in ("accuracy", "test_accuracy"):
        record = copy.deepcopy(BASELINE)
        (record if name in record else record["objectives"])[name] = value
        if name == "test_accuracy" and value is None:
            continue
        with pytest.raises(RunError, match="x: .*accuracy"):
            check_baseline(record, "x")


def test_a_baseline_without_objectives_is_refused() -> None:
    with pytest.raises(RunError, match="objectives must map"):
        check_baseline({"objectives": [1]}, "x")
