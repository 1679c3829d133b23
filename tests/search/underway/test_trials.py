import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimtune.results.store.folder import RunFolder
from slimtune.search.proposing.budget import Budget
from slimtune.search.settings.recorded import run_config
from slimtune.search.setup import reopen_workload
from slimtune.search.underway.interrupts import Interrupts
from slimtune.search.underway.open_search import OpenSearch
from slimtune.search.underway.trials import run_trials

Event = tuple[str, Mapping[str, Any]]


def run_again(run: Path, copy: Path, lost: int | None = None) -> tuple[RunFolder, list[Event]]:
    """Run what a copy of a run lacks, ``lost`` and no other trial."""
    shutil.copytree(run, copy)
    if lost is not None:
        shutil.rmtree(copy / "trials" / f"{lost:04d}")
    folder = RunFolder.open(copy)
    config = run_config(folder)
    events: list[Event] = []
    search = OpenSearch(
        config,
        folder,
        reopen_workload(folder, config),
        lambda e: events.append((e.kind, e.values())),
        Interrupts(lambda _: None),
        Budget(),
    )
    assert run_trials(search) == ""
    return folder, events


def test_a_run_that_lacks_nothing_only_tells_what_it_has(digits_run: Path, tmp_path: Path) -> None:
    folder, events = run_again(digits_run, tmp_path / "copy")
    records = folder.records()
    assert events == [("resumed", {"records": tuple(records), "again": 0, "total": len(records)})]


def test_a_lost_trial_runs_again_and_comes_out_the_same(digits_run: Path, tmp_path: Path) -> None:
    before = RunFolder.open(digits_run).record(0)
    folder, events = run_again(digits_run, tmp_path / "copy", lost=0)
    assert [name for name, _ in events if name != "stage"] == ["resumed", "started", "finished"]
    assert {values["number"] for name, values in events if name == "stage"} == {0}
    assert folder.record(0).conditions == before.conditions
    assert folder.record(0).artifacts["model.onnx"] == before.artifacts["model.onnx"]
