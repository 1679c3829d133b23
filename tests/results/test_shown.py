from pathlib import Path

import pytest

from slimtune.conditions import Conditions
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.search.opened import Run

OBJECTIVES = {"accuracy": 0.0, "size_bytes": 9000.0, "latency_ms": 3.0}
PIPELINE = "l1 <b>50 %</b> → int8"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    manifest = {
        "config": {},
        "objectives": list(OBJECTIVES),
        "reference_point": OBJECTIVES,
        "workload": {"fingerprint": "0" * 64, "classes": ["c"] * 1000},
    }
    folder = RunFolder.create(tmp_path / "a", manifest)
    for number in range(3):
        record = TrialRecord(
            number=number,
            status="failed" if number == 2 else "complete",
            recipe={"prune": {"method": "l1", "much": "x" * 5000}},
            pipeline=PIPELINE,
            conditions=Conditions(seed=0),
            objectives={
                "accuracy": 0.9 + number / 100, "size_bytes": 2048, "latency_ms": 0.5
            },
            metrics={"latency_stable": number == 0, "other": 1.0},
            error="diverged" if number == 2 else None,
        )  # fmt: skip
        folder.write_trial(record, {}, {})
    return Run(folder)


def test_a_run_shows_its_counts_and_its_limits_in_one_line(run: Run) -> None:
    counts = "3 trials (2 complete, 1 failed), 1 on the front"
    assert repr(run) == f"<Run {run.path}: {counts}>"
    seen = run.within({"max_size": "3kB"})
    assert repr(seen) == f"<Run {run.path}: {counts}, within size <= 3 kB>"


def test_a_member_shows_what_it_is_and_measures(run: Run) -> None:
    told = "accuracy 0.9100, size 2.0 KiB, latency 0.500 ms ~"
    assert repr(run.pick()) == f"<Member trial 1 of {run.path}: {PIPELINE}; {told}>"
    assert " ~" not in repr(run.trial(0))


def test_records_and_folders_leave_out_what_takes_pages(run: Run) -> None:
    assert repr(run.records[2]) == (
        f"TrialRecord(number=2, status='failed', pipeline='{PIPELINE}', objectives="
        "{'accuracy': 0.92, 'size_bytes': 2048.0, 'latency_ms': 0.5}, error='diverged')"
    )
    assert len(repr(run.folder)) < 200


def test_notebooks_get_tables_in_which_nothing_is_markup(run: Run) -> None:
    for shown in (run._repr_html_(), run.pick()._repr_html_()):
        assert "<table>" in shown and "&lt;b&gt;50 %&lt;/b&gt;" in shown
        assert "<b>50 %" not in shown
    assert "accuracy ↑" in run._repr_html_()


def test_a_damaged_run_says_so_and_never_raises(run: Run) -> None:
    (run.path / "trials" / "0001" / "result.json").write_text("{")
    assert repr(run).startswith(f"<Run {run.path}: cannot be read: ")
    assert "cannot be read" in run._repr_html_()
