from pathlib import Path

from slimtune.conditions import Conditions
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.lock import RunLock
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.status import read_status
from slimtune.search.listeners.events import (
    FrontMeasured,
    Fruitless,
    PhaseEntered,
    Resumed,
    SearchStopped,
    TrialFinished,
    TrialStarted,
    ignore_events,
)
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
    tell = StatusFile(run, 4, lambda event: heard.append(event.kind))
    with RunLock(run):
        tell(TrialStarted(0, "l1"))
        tell(TrialStarted(1, "fpgm"))
        tell(PhaseEntered(1, "fine-tune"))
        tell(TrialFinished(RECORD))
        tell(PhaseEntered(0, "measure"))  # late news of a finished trial
        status = read_status(run)
        assert [(t.number, t.pipeline, t.stage) for t in status.running] == [
            (1, "fpgm", "fine-tune")
        ]
        assert (status.state, status.total) == ("running", 4)
    assert heard == ["started", "started", "stage", "finished", "stage"]


def test_the_end_and_its_reason_stay_in_the_folder(tmp_path: Path) -> None:
    run = folder(tmp_path)
    tell = StatusFile(run, 4, ignore_events)
    tell(Resumed((), again=0, total=7))
    tell(SearchStopped("the time budget of 1m is spent"))
    assert read_status(run).state == "interrupted"
    tell(FrontMeasured(1.0, 0.5, members=1))
    status = read_status(run)
    assert (status.state, status.total) == ("finished", 7)
    assert status.reason == "the time budget of 1m is spent"


def test_a_search_without_a_result_has_ended_as_well(tmp_path: Path) -> None:
    run = folder(tmp_path)
    StatusFile(run, 1, ignore_events)(Fruitless("diverged"))
    assert read_status(run).state == "finished"
