import resource
from contextlib import contextmanager

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import DiskFullError
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.search.trial.recorder import Recorder
from slimtune.search.trial.spec import Outcome, TrialSpec

MANIFEST = {
    "config": {},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 1e6},
    "workload": {"fingerprint": "0" * 64},
}
LARGE = {"model.onnx": bytes(200_000)}


@contextmanager
def full_disk(limit):
    """Let the kernel refuse every write beyond ``limit`` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run", MANIFEST)


def record_one(recorder, number, files):
    objectives = {"accuracy": 0.5, "size_bytes": 10.0}
    record = TrialRecord(
        number=number,
        status="complete",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=1),
        objectives=objectives,
    )
    outcome = Outcome(number, "complete", objectives, record, files)
    return recorder.record(TrialSpec(number, {}, Conditions(seed=1)), outcome)


def test_a_trial_that_does_not_fit_on_the_disk_is_one_failure_with_its_reason(folder):
    recorder = Recorder(folder)
    with full_disk(100_000):
        assert record_one(recorder, 0, LARGE).status == "failed"
        assert record_one(recorder, 1, {"model.onnx": b"x"}).status == "complete"
    first, second = folder.records()
    assert (first.status, second.status) == ("failed", "complete")
    assert "disk full" in first.error
    assert sorted(p.name for p in folder.trial_path(0).iterdir()) == [
        "error.txt", "log.txt", "result.json", "spec.json",
    ]  # fmt: skip
    assert list(folder.path.rglob("*.tmp-*")) == []


def test_three_in_a_row_end_the_search_and_the_third_can_run_again(folder):
    recorder = Recorder(folder)
    with full_disk(100_000):
        record_one(recorder, 0, LARGE)
        record_one(recorder, 1, {})
        for number in (2, 3):
            record_one(recorder, number, LARGE)
        with pytest.raises(DiskFullError, match="3 trials in a row; the last: .*disk full"):
            record_one(recorder, 4, LARGE)
    assert folder.numbers() == [0, 1, 2, 3]


def test_a_disk_without_room_for_the_failure_ends_the_search_and_leaves_nothing(folder):
    with full_disk(10), pytest.raises(DiskFullError, match="disk full"):
        record_one(Recorder(folder), 0, LARGE)
    assert folder.numbers() == []
    assert list(folder.path.rglob("*.tmp-*")) == []


def test_a_trial_whose_process_died_is_recorded_with_what_is_known(folder):
    lost = Outcome(3, "failed", reason="its process died", files={"error.txt": b"Trace"})
    recorded = Recorder(folder).record(TrialSpec(3, {}, Conditions(seed=1)), lost)
    assert recorded.status == "failed"
    assert folder.record(3).error == "its process died"


def test_a_record_can_be_written_elsewhere(folder):
    written = []
    recorder = Recorder(folder, lambda record, spec, files: written.append((record, spec, files)))
    record_one(recorder, 5, {"model.onnx": b"x"})
    [(record, spec, files)] = written
    assert (record.number, spec["number"], files) == (5, 5, {"model.onnx": b"x"})
    assert folder.numbers() == []


def test_a_stopped_trial_is_recorded_with_its_judges_reason(folder):
    payload = TrialRecord(
        number=0,
        status="stopped",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=1),
        rungs={"a": {"accuracy": 0.5}},
    )
    outcome = Outcome(0, "stopped", {}, payload, {"log.txt": b"fine"}, reason="a: behind")
    Recorder(folder).record(TrialSpec(0, {}, Conditions(seed=1)), outcome)
    record = folder.record(0)
    assert (record.status, record.error, record.rungs) == (
        "stopped",
        "a: behind",
        {"a": {"accuracy": 0.5}},
    )
