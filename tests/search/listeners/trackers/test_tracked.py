import threading
from pathlib import Path
from typing import Any

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import UserError
from slimtune.results.store.record import TrialRecord
from slimtune.search.listeners.trackers import TRACKERS
from slimtune.search.listeners.trackers.protocol import TrackerKind, TrialLog
from slimtune.search.listeners.trackers.tracked import flat, tracked, trial_log

RECORD = TrialRecord(
    number=7,
    status="failed",
    recipe={
        "prune": {"method": "l1", "amount": 0.5},
        "order": "ppq",
        "student": {"weights": None},
    },
    pipeline="l1 50%",
    conditions=Conditions(seed=3),
    objectives={"accuracy": 0.5},
    metrics={"params": 12, "latency_stable": True, "note": "x"},
    seconds={"fine-tune": 1.5},
    error="diverged",
)


class Broken:
    """A tracker of our own making that fails from its second trial on."""

    def __init__(self, folder: Path) -> None:
        self.logged: list[str] = []

    def log(self, trial: TrialLog) -> None:
        if self.logged:
            raise RuntimeError("server gone\nmore")
        self.logged.append(trial.name)


@pytest.fixture
def broken() -> Any:
    TRACKERS.register("broken")(TrackerKind(Broken, "json", "json"))
    yield
    del TRACKERS._entries["broken"]


def test_a_record_becomes_flat_names_and_numbers(tmp_path: Path) -> None:
    trial = tmp_path / "trials" / "0007"
    trial.mkdir(parents=True)
    (trial / "history.csv").write_text("epoch,loss,stage\n1,0.5,prune\n2,nan,\n")
    log = trial_log(RECORD, tmp_path)
    assert log.name == "trial-0007" and log.status == "failed" and log.reason == "diverged"
    assert log.params == {
        "seed": 3,
        "prune.method": "l1",
        "prune.amount": 0.5,
        "order": "ppq",
        "student.weights": "None",
    }
    assert log.metrics == {"accuracy": 0.5, "params": 12.0, "seconds/fine-tune": 1.5}
    assert log.epochs == ({"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0})
    assert trial_log(RECORD, tmp_path / "elsewhere").epochs == ()
    assert flat({"a": {"b": {"c": [1, 2]}}}) == {"a.b.c": "[1, 2]"}


def test_a_tracker_that_fails_is_told_once_and_the_search_goes_on(
    tmp_path: Path, broken: None
) -> None:
    told: list[tuple[str, Any]] = []
    with tracked(("broken",), tmp_path, lambda event, v: told.append((event, v))) as listener:
        for _ in range(4):
            listener("finished", {"record": RECORD})
        listener("final", {})
    warnings = [v["text"] for event, v in told if event == "warning"]
    assert warnings == ["broken failed and is left out from trial-0007 on: server gone"]
    assert [event for event, _ in told if event != "warning"] == ["finished"] * 4 + ["final"]
    assert not any(t.name == "trackers" for t in threading.enumerate())


def test_without_trackers_the_listener_is_itself(tmp_path: Path) -> None:
    def listener(event: str, values: Any) -> None: ...

    with tracked((), tmp_path, listener) as given:
        assert given is listener


def test_a_package_that_is_missing_is_told_before_anything_else(tmp_path: Path) -> None:
    TRACKERS.register("absent")(TrackerKind(Broken, "no_such_module_at_all", "absent-package"))
    try:
        with pytest.raises(
            UserError, match="log_to: absent needs the package absent-package.*pip"
        ):
            with tracked(("absent",), tmp_path, lambda e, v: None):
                raise AssertionError("must not be reached")
    finally:
        del TRACKERS._entries["absent"]
