from pathlib import Path
from typing import Any

from slimtune.conditions import Conditions
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.lock import RunLock
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.status import read_status
from slimtune.search.listeners.status_file import StatusFile

RECORD = TrialRecord(
    number=0, status="failed", recipe={}, pipeline="l1", conditions=Conditions(seed=0), error="no"
)


def folder(tmp_path: Path) -> Path:
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 10.0},
        "workload": {"fingerprint": "f"},
    }
    return RunFolder.create(tmp_path / "run", manifest).path


def test_what_happens_is_written_down_and_passed_on(tmp_path: Path) -> None:
    run, heard = folder(tmp_path), []
    tell = StatusFile(run, 4, lambda event, values: heard.append(event))
    with RunLock(run):
        tell("started", {"number": 0, "pipeline": "l1"})
        tell("started", {"number": 1, "pipeline": "fpgm"})
        tell("stage", {"number": 1, "stage": "fine-tune"})
        tell("finished", {"record": RECORD})
        tell("stage", {"number": 0, "stage": "measure"})  # late news of a finished trial
        status = read_status(run)
        assert [(t.number, t.pipeline, t.stage) for t in status.running] == [
            (1, "fpgm", "fine-tune")
        ]
        assert (status.state, status.total) == ("running", 4)
    assert heard == ["started", "started", "stage", "finished", "stage"]


def test_the_end_and_its_reason_stay_in_the_folder(tmp_path: Path) -> None:
    run = folder(tmp_path)
    tell = StatusFile(run, 4, lambda event, values: None)
    tell("resumed", {"total": 7, "records": [], "again": 0})
    tell("stopped", {"reason": "the time budget of 1m is spent"})
    assert read_status(run).state == "interrupted"
    tell("final", {"members": 1})
    status = read_status(run)
    assert (status.state, status.total) == ("finished", 7)
    assert status.reason == "the time budget of 1m is spent"


def test_a_search_without_a_result_has_ended_as_well(tmp_path: Path) -> None:
    run = folder(tmp_path)
    told: dict[str, Any] = {"reason": "diverged"}
    StatusFile(run, 1, lambda event, values: None)("fruitless", told)
    assert read_status(run).state == "finished"
