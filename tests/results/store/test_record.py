import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.conditions import Conditions
from slimtune.errors import RunError
from slimtune.results.store.record import TrialRecord, clean_record

RECORD = TrialRecord(
    number=3,
    status="complete",
    recipe={"prune": {"method": "l1", "amount": 0.5}},
    pipeline="l1 50%",
    conditions=Conditions(seed=7),
    objectives={"accuracy": 0.9, "size_bytes": 1000.0},
    metrics={"params": 5, "noisy": True, "note": "x", "gap": None, "ratio": 0.5},
    seconds={"recover": 1.5},
)


def test_a_record_survives_json_without_its_traceback():
    record = dataclasses.replace(RECORD, status="failed", error="no", traceback="line 1")
    text = json.dumps(record.to_dict())
    assert "line 1" not in text
    back = TrialRecord.from_dict(json.loads(text), "result.json")
    assert back == dataclasses.replace(record, traceback=None)
    assert [type(v) for v in back.metrics.values()] == [int, bool, str, type(None), float]


@given(
    st.sampled_from(["accuracy", "size_bytes", "latency_ms", "macs", "other"]),
    st.floats() | st.integers(-10, 10),
)
def test_a_checked_record_is_always_json_and_complete_only_if_sound(name, value):
    record = dataclasses.replace(RECORD, objectives={name: value})
    result = clean_record(record)
    json.dumps(result.to_dict(), allow_nan=False)
    low, high = {"accuracy": (0, 1), "other": (-math.inf, math.inf)}.get(name, (0, math.inf))
    sound = math.isfinite(value) and low <= value <= high
    assert result.status == ("complete" if sound else "failed")
    assert result.objectives == ({name: value} if sound else {})
    assert clean_record(result) == result


@pytest.mark.parametrize(
    ("objectives", "reason"),
    [
        ({"accuracy": math.nan, "size_bytes": 5}, "non-finite: accuracy"),
        ({"accuracy": 0.5, "size_bytes": -1}, "metric out of range: size_bytes"),
        ({"accuracy": 0.5}, "missing objective: size_bytes"),
    ],
)
def test_a_complete_record_with_an_unsound_objective_fails_and_says_why(objectives, reason):
    result = clean_record(
        dataclasses.replace(RECORD, objectives=objectives), ["accuracy", "size_bytes"]
    )
    assert (result.status, result.error.startswith(reason)) == ("failed", True)
    assert "accuracy" not in result.objectives or math.isfinite(result.objectives["accuracy"])


def test_a_failed_record_keeps_its_own_reason():
    record = dataclasses.replace(RECORD, status="failed", error="diverged", objectives={})
    assert clean_record(record, ["accuracy"]) == record


def test_numpy_scalars_and_infinite_metrics_become_plain():
    record = dataclasses.replace(
        RECORD,
        objectives={"accuracy": np.float32(0.5)},
        metrics={"n": np.int64(4), "bad": np.float64("nan"), "inf": math.inf},
        seconds={"a": 1, "b": math.inf},
    )
    result = clean_record(record)
    assert result.metrics == {"n": 4, "bad": None, "inf": None}
    assert result.seconds == {"a": 1.0}
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    "change",
    [
        {"number": "x"},
        {"status": "running"},
        {"objectives": [1]},
        {"objectives": {"accuracy": 7.0}},
        {"recipe": None},
    ],
)
def test_a_damaged_record_is_refused_with_its_file(change):
    with pytest.raises(RunError, match="trials/0003/result.json: "):
        TrialRecord.from_dict({**RECORD.to_dict(), **change}, "trials/0003/result.json")


def test_a_record_without_a_needed_key_is_refused_with_its_file():
    with pytest.raises(RunError, match="a.json: "):
        TrialRecord.from_dict({"number": 1}, "a.json")


WRITTEN = """{"number": 4, "status": "complete", "recipe": {"prune": {"method": "l1"}},
"pipeline": "l1", "seed": 9, "threads": 2, "device": "cuda", "objectives": {"accuracy": 0.5},
"metrics": {}, "artifacts": {}, "rungs": {}, "error": null, "seconds": {}, "host": {},
"prefix_seed": 3, "stages": {}, "reused": "", "precision": "bfloat16", "views": 4}"""


def test_a_file_from_before_conditions_were_one_value_reads_and_writes_the_same():
    record = TrialRecord.from_dict(json.loads(WRITTEN), "result.json")
    assert record.conditions == Conditions(9, 2, "cuda", 3, "bfloat16", 4)
    assert json.dumps(record.to_dict()) == WRITTEN.replace("\n", " ")


def test_a_file_without_newer_conditions_has_their_defaults():
    old = json.loads(WRITTEN)
    for name in ("threads", "device", "prefix_seed", "precision", "views"):
        del old[name]
    assert TrialRecord.from_dict(old, "result.json").conditions == Conditions(seed=9)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"seed": "9"}, "seed: "),
        ({"threads": 1.5}, "threads: "),
        ({"precision": "x"}, "precision"),
    ],
)
def test_a_condition_of_another_type_is_named_as_it_stands_in_the_file(change, fault):
    with pytest.raises(RunError, match=f"^result.json: {fault}"):
        TrialRecord.from_dict({**json.loads(WRITTEN), **change}, "result.json")


def test_a_file_without_a_seed_is_refused():
    old = json.loads(WRITTEN)
    del old["seed"]
    with pytest.raises(RunError, match="^result.json: seed: Field required"):
        TrialRecord.from_dict(old, "result.json")
