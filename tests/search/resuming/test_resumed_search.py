"""A search that was stopped, or had too few trials, goes on as if nothing had happened."""

import json
from pathlib import Path

import pytest

import slimtune
from slimtune.errors import (
    RunChangedError,
    RunError,
)
from slimtune.results.run import open_run
from slimtune.results.store.folder import RunFolder
from slimtune.search.listeners.events import EpochTrained, Event, TrialStarted
from slimtune.search.proposing.study import open_study
from slimtune.search.session import run_search
from slimtune.search.settings.config import ConstraintSettings, SearchConfig
from tests.search.recording import KindAndValues, noting


def test_a_search_stopped_and_resumed_makes_what_one_in_one_go_makes(
    digits_run: Path, digits_config: SearchConfig, tmp_path: Path
) -> None:
    whole = open_run(digits_run)
    out = tmp_path / "run"

    def stop(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(digits_config, out, stop)
    events: list[KindAndValues] = []
    run = run_search(digits_config, out, noting(events), resume=True)
    assert [r.recipe for r in run.records] == [r.recipe for r in whole.records]
    assert [r.artifacts for r in run.records] == [r.artifacts for r in whole.records]
    names = [name for name, _ in events]
    assert "epoch" not in names  # the baseline is not trained again
    assert [v["number"] for n, v in events if n == "started"] == [2, 3]
    resumed = next(values for name, values in events if name == "resumed")
    assert (len(resumed["records"]), resumed["again"], resumed["total"]) == (2, 1, 4)
    told = {n: v for n, v in events if n in ("workload", "baseline")}
    assert told["workload"]["params"] == told["baseline"]["params"]
    assert set(run.front()["trial"]) <= {0, 1, 2, 3} and run.front()["test_accuracy"].notna().all()

    more = digits_config.model_copy(update={"trials": 6})
    longer = run_search(more, out, resume=True)
    assert [r.artifacts for r in longer.records[:4]] == [r.artifacts for r in whole.records]
    assert [r.number for r in longer.records] == list(range(6))
    assert len({json.dumps(r.recipe) for r in longer.records}) == 6
    assert RunFolder.open(out).manifest["config"]["trials"] == 6


def test_a_resume_with_another_setting_or_other_data_writes_nothing(
    run_on_other_data: Path, digits_config: SearchConfig
) -> None:
    copy = run_on_other_data
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and p.name != "lock"}
    with pytest.raises(RunChangedError, match="  seed: 0 in the run, 1 now"):
        run_search(digits_config.model_copy(update={"seed": 1}), copy, resume=True)
    with pytest.raises(RunError, match="the data of digits has changed"):
        run_search(digits_config.model_copy(update={"trials": 9}), copy, resume=True)
    after = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and p.name != "lock"}
    assert before == after


def test_a_search_stopped_before_its_baseline_leaves_no_folder_and_one_killed_starts_over(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, EpochTrained):
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_search(digits_config, out, stop)
    assert not out.exists()
    out.mkdir()
    (out / "lock").touch()
    (out / "baseline").mkdir()
    short = digits_config.model_copy(update={"trials": 1})
    assert len(run_search(short, out, resume=True).records) == 1
    assert (out / "baseline.left-1").is_dir()


def test_a_grid_can_be_begun_with_a_part_of_it_and_completed(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {
        "prune": {"method": "l1", "amount": [0.25, 0.5], "scope": "local"},
        "quantize": {"method": "none"},
        "distill": {"method": "none"},
        "train": {"epochs": 0, "batch_size": 256, "lr": 0.01},
    }
    part = digits_config.model_copy(update={"sampler": "grid", "seeds": (3, 4), "space": space})
    first = run_search(part.model_copy(update={"trials": 3}), tmp_path / "g")
    assert [r.conditions.seed for r in first.records] == [3, 4, 3]
    run = run_search(part.model_copy(update={"trials": None}), tmp_path / "g", resume=True)
    asked = [(r.recipe["prune"]["amount"], r.conditions.seed) for r in run.records]
    assert asked == [(0.25, 3), (0.25, 4), (0.5, 3), (0.5, 4)]


def test_python_resumes_with_the_runs_own_settings(tmp_path: Path) -> None:
    settings = {"model": "resnet8", "data": "digits", "executor": "inline"}
    space = {"train": {"epochs": 0}, "distill": {"method": "none"}}
    settings |= {"baseline": {"epochs": 1}, "space": space}
    out = tmp_path / "run"
    slimtune.search(**settings, trials=1, out=out, resume=True)  # nothing there yet
    assert len(slimtune.search(trials=2, out=out, resume=True).records) == 2


@pytest.mark.slow
def test_a_steered_search_that_was_stopped_and_resumed_is_the_one_in_one_go(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {
        "prune": {"method": ["none", "l1"], "amount": [0.3, 0.5], "scope": "local"},
        "quantize": {"method": ["none", "int8_static", "float16"]},
        "distill": {"method": "none"},
        "train": {"epochs": 0, "batch_size": 256, "lr": 0.01},
    }
    changes = {"space": space, "trials": 8, "sampler": "nsga2"}
    changes |= {"constraints": ConstraintSettings(max_size="0.6x"), "start": "auto"}
    changes |= {"objectives": ("accuracy", "size_bytes")}
    config = digits_config.model_copy(update=changes)
    whole = run_search(config, tmp_path / "whole")

    out = tmp_path / "run"
    flat = config.model_copy(update={"stop_when_flat": 1})
    events: list[KindAndValues] = []
    listen = noting(events)

    short = run_search(flat, out, listen)  # one flat trial stops it
    assert 0 < len(short.records) < 8 and "stopped" in dict(events)
    events.clear()
    same = run_search(flat, out, listen, resume=True)
    assert len(same.records) == len(short.records) and "stopped" in dict(events)
    events.clear()
    (out / "study.db").unlink()
    more = config.model_copy(update={"time_budget": "10m"})
    run = run_search(more, out, listen, resume=True)
    assert "stopped" not in dict(events)
    assert [r.recipe for r in run.records] == [r.recipe for r in whole.records]
    assert run.limits == whole.limits != {}
    assert run.front()["trial"].tolist() == whole.front()["trial"].tolist()
    tighter = {"constraints": ConstraintSettings(max_size="0.5x")}
    events.clear()
    seen = run_search(config.model_copy(update=tighter), out, listen, resume=True)
    assert dict(events)["limits"]["before"] == whole.limits
    assert seen.limits["size_bytes"] == pytest.approx(whole.limits["size_bytes"] * 5 / 6)

    longer = run_search(config.model_copy(update={"trials": 11}), out, resume=True)
    assert [r.recipe for r in longer.records[:8]] == [r.recipe for r in whole.records]
    assert RunFolder.open(out).manifest["start_points"] == 3  # the baseline, two quantizers


def test_more_trials_bring_no_more_start_points(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {"train": {"epochs": 0}, "distill": {"method": "none"}}
    changes = {"space": space, "sampler": "random", "trials": 1, "start": "auto"}
    config = digits_config.model_copy(update=changes)
    run_search(config, tmp_path / "none")
    more = config.model_copy(update={"trials": 16})  # of a new search, four are fixed
    assert len(more.points()) == 4

    def stop(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(more, tmp_path / "none", stop, resume=True)
    study = open_study(
        tmp_path / "none" / "study.db", ["maximize", "minimize", "minimize"], "none"
    )
    assert study.trials[1].params != more.points()[1]
    assert RunFolder.open(tmp_path / "none").manifest["start_points"] == 1
