"""The whole search, started for real: digits, inline and on local Ray."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import slimtune
from slimtune.errors import (
    ConfigError,
    RunChangedError,
    RunError,
    SearchFailedError,
    UserError,
)
from slimtune.results.run import Run, open_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.lock import RunLock
from slimtune.results.store.sealed import seal
from slimtune.results.views.summary import summarise
from slimtune.search import setup
from slimtune.search.listeners.events import EpochTrained, TrialStarted
from slimtune.search.listeners.events import Event as SearchEvent
from slimtune.search.proposing.study import open_study
from slimtune.search.review.evaluate import evaluate_in_run
from slimtune.search.review.rerun import compare, rerun_trial
from slimtune.search.session import run_search
from slimtune.search.settings.config import ConstraintSettings, SearchConfig
from slimtune.search.settings.recorded import run_config
from slimtune.search.setup import reopen_workload
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Augmentation
from slimtune.workload.zoo.protocol import ZOO

Event = tuple[str, Mapping[str, Any]]


def noting(events: list[Event]) -> Callable[[SearchEvent], None]:
    return lambda event: events.append((event.kind, event.values()))


@pytest.fixture(scope="module")
def searched(
    digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, list[Event]]:
    events: list[Event] = []
    out = tmp_path_factory.mktemp("runs") / "inline"
    run = run_search(digits_config, out, noting(events))
    return run, events


def copy_of(run: Run, target: Path, fingerprint: str) -> Path:
    """Copy a run as if it had been made on other data."""
    shutil.copytree(run.path, target)
    manifest = json.loads((target / "run.json").read_text())
    manifest["workload"]["fingerprint"] = fingerprint
    (target / "run.json").write_bytes(seal(manifest))
    return target


def test_a_run_leaves_a_folder_a_trial_with_the_measured_files(searched) -> None:
    run, _ = searched
    for record in run.records:
        folder = run.path / "trials" / f"{record.number:04d}"
        assert record.status == "complete"
        file = folder / "model.onnx"
        assert file.stat().st_size == record.objectives["size_bytes"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == record.artifacts["model.onnx"]
        assert json.loads((folder / "spec.json").read_text())["number"] == record.number


def test_evaluating_a_trials_file_reproduces_its_accuracy_exactly(searched) -> None:
    run, _ = searched
    for record in run.records[:2]:
        file = run.path / "trials" / f"{record.number:04d}" / "model.onnx"
        assert (
            evaluate_in_run(file, run.path)["validation_accuracy"] == record.objectives["accuracy"]
        )


def test_the_front_has_test_accuracy_and_the_other_trials_do_not(searched) -> None:
    run, _ = searched
    front = run.front()
    assert front["test_accuracy"].between(0, 1).all()
    for record in run.records:
        assert "test_accuracy" not in {**record.objectives, **record.metrics}


def test_what_happens_is_told_in_order(searched) -> None:
    _, events = searched
    names = [name for name, _ in events]
    assert names[0] == "workload" and names[-2:] == ["final", "report"]
    assert names.index("epoch") < names.index("baseline") < names.index("started")
    assert names.count("started") == names.count("finished") == 4


def test_a_rerun_makes_the_same_bytes_and_does_not_touch_the_run(searched) -> None:
    run, _ = searched
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}
    folder = RunFolder.open(run.path)
    assert all(c.identical for c in compare(folder, rerun_trial(folder, 1)))
    after = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}
    assert before == after


def test_a_rerun_with_another_setting_makes_other_bytes(searched) -> None:
    run, _ = searched
    folder = RunFolder.open(run.path)
    changes = {"prune.method": "l1", "prune.amount": 0.33, "train.epochs": 0, "distill": {}}
    outcome = rerun_trial(folder, 0, changes)
    assert outcome.payload.recipe["prune"]["amount"] == 0.33
    differing = {c.name for c in compare(folder, outcome) if not c.identical}
    assert "model.onnx" in differing


def test_a_rerun_on_changed_data_is_refused(searched, tmp_path: Path) -> None:
    run, _ = searched
    copy = copy_of(run, tmp_path / "copy", fingerprint="0" * 64)
    with pytest.raises(RunError, match="the data of digits has changed"):
        rerun_trial(RunFolder.open(copy), 0)


def test_a_run_keeps_its_augmentation_though_its_source_says_otherwise_today(
    searched, tmp_path: Path
) -> None:
    run, _ = searched
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    manifest = json.loads((copy / "run.json").read_text())
    assert manifest["workload"]["augmentation"] == {"padding": 1, "flip": False}
    manifest["workload"]["augmentation"] = {"padding": 2, "flip": True}
    (copy / "run.json").write_bytes(seal(manifest))
    folder = RunFolder.open(copy)
    assert reopen_workload(folder, run_config(folder)).augmentation == Augmentation(2, True)


def test_a_run_goes_on_without_a_validation_part_that_its_source_did_not_know_then(
    searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = searched
    whole = load_dataset("digits")
    later = dataclasses.replace(whole, validation=whole.test)
    monkeypatch.setattr(setup, "load_dataset", lambda reference: later)
    folder = RunFolder.open(run.path)
    assert reopen_workload(folder, run_config(folder)).validation_source == "train"


def test_an_existing_folder_is_refused_and_left_as_it_was(
    searched, digits_config: SearchConfig
) -> None:
    run, _ = searched
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(UserError, match="already exists"):
        run_search(digits_config, run.path)
    assert (run.path / "run.json").read_bytes() == before


@pytest.mark.slow
def test_ray_with_one_worker_proposes_and_makes_the_same(
    searched, digits_config: SearchConfig, tmp_path: Path
) -> None:
    inline, _ = searched
    config = digits_config.model_copy(update={"executor": "ray", "concurrency": 1})
    run = run_search(config, tmp_path / "ray")
    assert [r.recipe for r in run.records] == [r.recipe for r in inline.records]
    assert [r.artifacts for r in run.records] == [r.artifacts for r in inline.records]


def test_a_search_in_which_every_trial_fails_says_why_and_keeps_the_records(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {
        "prune": {"method": "l1"},
        "train": {
            "epochs": 1,
            "lr": 10.0,
            "weight_decay": 1.0,
            "momentum": 0.99,
            "batch_size": 16,
        },
    }
    config = digits_config.model_copy(update={"space": space, "trials": 1})
    with pytest.raises(SearchFailedError, match="no trial finished; the first failed with"):
        run_search(config, tmp_path / "run")
    records = open_run(tmp_path / "run").records
    assert [r.status for r in records] == ["failed"]
    assert (tmp_path / "run" / "trials" / "0000" / "error.txt").read_text()


def test_ten_lines_of_python_do_the_same(tmp_path: Path) -> None:
    run = slimtune.search(
        model="resnet8",
        data="digits",
        trials=2,
        executor="inline",
        baseline={"epochs": 2},
        space={"train": {"epochs": 1}, "prune": {"method": ["l1"]}},
        out=tmp_path / "run",
    )
    assert len(run.front()) >= 1
    exported = run.pick("knee").export(tmp_path / "deploy")
    assert (Path(exported) / "model.onnx").is_file()
    assert slimtune.load_model(exported)(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_evaluating_in_a_run_whose_data_has_changed_is_refused(searched, tmp_path: Path) -> None:
    run, _ = searched
    copy = copy_of(run, tmp_path / "copy", fingerprint="0" * 64)
    with pytest.raises(RunError, match="the data of digits has changed"):
        evaluate_in_run(copy / "baseline" / "model.onnx", copy)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_trained(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    events: list[str] = []
    with pytest.raises(UserError, match="cannot be made"):
        run_search(digits_config, tmp_path / "file" / "run", lambda e: events.append(e.kind))
    assert events == []


def test_a_network_whose_channels_cannot_be_followed_is_refused_untrained(
    digits_config: SearchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rolled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(1, 16, 3, bias=False)
            self.norm = torch.nn.BatchNorm2d(16)
            self.second = torch.nn.Conv2d(16, 10, 3, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.roll(torch.relu(self.norm(self.first(x))), 1, dims=1)
            return self.second(x).mean(dim=(2, 3))

    monkeypatch.setitem(ZOO._entries, "rolled", lambda num_classes, in_channels: Rolled())
    config = digits_config.model_copy(update={"model": "rolled"})
    with pytest.raises(UserError, match="pruning test failed for 'rolled'"):
        run_search(config, tmp_path / "run")


def test_a_cluster_that_is_not_there_is_refused_before_anything_is_trained(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    config = digits_config.model_copy(update={"executor": "ray", "ray_address": "127.0.0.1:1"})
    with pytest.raises(
        ConfigError, match="ray_address: cannot reach Ray at 127.0.0.1:1: .*; begin"
    ):
        run_search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_grid_runs_every_recipe_with_every_seed_under_another_teacher(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {
        "prune": {"method": "l1", "amount": [0.25, 0.5], "scope": "local"},
        "quantize": {"method": "none"},
        "distill": {"method": "base", "alpha": 0.9, "temperature": 4},
        "train": {"epochs": 1, "batch_size": 256, "lr": 0.01},
    }
    changes = {"sampler": "grid", "seeds": (3, 4), "space": space, "teacher": "resnet8b"}
    config = digits_config.model_copy(update={**changes, "trials": None})
    events: list[Event] = []
    run = run_search(config, tmp_path / "g", noting(events))
    asked = [(r.recipe["prune"]["amount"], r.conditions.seed) for r in run.records]
    assert asked == [(0.25, 3), (0.25, 4), (0.5, 3), (0.5, 4)]
    assert [name for name, _ in events].count("teacher") == 1
    assert (run.path / "teacher" / "model.onnx").is_file()
    again = rerun_trial(run.folder, 3)  # under the stored teacher
    assert all(c.identical for c in compare(run.folder, again))
    table = summarise(run, ("prune.amount", "accuracy"))
    assert table["runs"].tolist() == [1, 2, 2] and table["accuracy_sd"].notna().sum() == 2


def test_a_space_that_contradicts_itself_is_refused_and_leaves_nothing(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {"prune": {"method": "l1", "schedule": "soft"}, "train": {"epochs": 0}}
    config = digits_config.model_copy(update={"space": {**space, "distill": {"method": "none"}}})
    with pytest.raises(ConfigError, match="at least 1 to prune during training"):
        run_search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_search_stopped_and_resumed_makes_what_one_in_one_go_makes(
    searched, digits_config: SearchConfig, tmp_path: Path
) -> None:
    whole, _ = searched
    out = tmp_path / "run"

    def stop(event: SearchEvent) -> None:
        if isinstance(event, TrialStarted) and event.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(digits_config, out, stop)
    events: list[Event] = []
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
    searched, digits_config: SearchConfig, tmp_path: Path
) -> None:
    run, _ = searched
    copy = copy_of(run, tmp_path / "copy", fingerprint="0" * 64)
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and p.name != "lock"}
    with pytest.raises(RunChangedError, match="  seed: 0 in the run, 1 now"):
        run_search(digits_config.model_copy(update={"seed": 1}), copy, resume=True)
    with pytest.raises(RunError, match="the data of digits has changed"):
        run_search(digits_config.model_copy(update={"trials": 9}), copy, resume=True)
    after = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and p.name != "lock"}
    assert before == after


def test_a_run_that_another_process_writes_is_refused(
    searched, digits_config: SearchConfig
) -> None:
    run, _ = searched
    with RunLock(run.path):
        for resume in (False, True):
            with pytest.raises(RunError, match="is in use by process"):
                run_search(digits_config, run.path, resume=resume)


def test_a_search_stopped_before_its_baseline_leaves_no_folder_and_one_killed_starts_over(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    def stop(event: SearchEvent) -> None:
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


def test_constraints_start_points_and_a_flat_end_of_a_whole_search(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {
        "prune": {"method": ["none", "l1"], "amount": [0.3, 0.5], "scope": "local"},
        "quantize": {"method": ["none", "int8_static"]},
        "distill": {"method": "none"},
        "train": {"epochs": 1, "batch_size": 256, "lr": 0.01},
    }
    config = digits_config.model_copy(
        update={
            "space": space,
            "trials": 12,
            "sampler": "nsga2",
            "constraints": ConstraintSettings(max_size="0.5x", min_accuracy="0%"),
            "stop_when_flat": 2,
            "objectives": ("accuracy", "size_bytes"),
            "start": ({}, {"quantize": "int8_static"}, {}),
        }
    )
    events: list[Event] = []
    run = run_search(config, tmp_path / "r", noting(events))
    assert [r.pipeline for r in run.records[:3]] == ["unchanged", "int8_static", "unchanged"]
    half = run.baseline["objectives"]["size_bytes"] / 2
    assert run.limits == {"size_bytes": half, "accuracy": 0.0}
    assert (run.front()["size_bytes"] <= half).all() and 1 in run.front()["trial"].tolist()
    told = {name: values for name, values in events}
    assert told["stopped"]["reason"] == "the last 2 trials added no hypervolume"
    study = open_study(run.folder.study_path, ["maximize", "minimize"], run.path.name)
    assert study.user_attrs["stopped"] == told["stopped"]["reason"]
    assert study.trials[0].constraints["size_bytes"] == pytest.approx(1.0, abs=0.05)
    assert len(study.trials) == len(run.records) < 12


def test_a_search_that_no_time_is_left_for_has_no_trial_to_show(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    config = digits_config.model_copy(update={"time_budget": "0.001s"})
    with pytest.raises(SearchFailedError, match="no trial was run: the time budget of 0.001s"):
        run_search(config, tmp_path / "r")


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
    events: list[Event] = []
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

    def stop(event: SearchEvent) -> None:
        if isinstance(event, TrialStarted) and event.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(more, tmp_path / "none", stop, resume=True)
    study = open_study(
        tmp_path / "none" / "study.db", ["maximize", "minimize", "minimize"], "none"
    )
    assert study.trials[1].params != more.points()[1]
    assert RunFolder.open(tmp_path / "none").manifest["start_points"] == 1


@pytest.fixture(scope="module")
def limited(
    digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, SearchConfig]:
    """A search most of whose trials are too large, which is plain before they are trained."""
    space = {
        "prune": {"method": "l1", "amount": [0.1, 0.7], "scope": "local"},
        "quantize": {"method": ["none", "int8_static"]},
        "distill": {"method": "none"},
        "train": {"epochs": 1, "batch_size": 256, "lr": 0.01},
    }
    changes = {"space": space, "trials": 6, "sampler": "random", "start": "none"}
    changes |= {"constraints": ConstraintSettings(max_size="0.13x")}
    changes |= {"objectives": ("accuracy", "size_bytes")}
    config = digits_config.model_copy(update=changes)
    return run_search(config, tmp_path_factory.mktemp("runs") / "limited"), config


def test_a_hopeless_trial_is_stopped_before_it_is_trained_and_is_no_answer(limited) -> None:
    run, _ = limited
    stopped = [record for record in run.records if record.status == "stopped"]
    complete = [record for record in run.records if record.status == "complete"]
    assert stopped and complete and len(stopped) + len(complete) == 6
    for record in stopped:
        assert record.error.startswith("before training: size ")
        assert "fine-tune" not in record.seconds
        assert record.objectives["size_bytes"] > run.limits["size_bytes"]
        assert not (run.folder.trial_path(record.number) / "model.onnx").exists()
        with pytest.raises(UserError, match="it was stopped before training: size "):
            run.trial(record.number)
    numbers = {record.number for record in complete}
    assert set(run.front()["trial"]) <= numbers
    study = open_study(run.folder.study_path, ["maximize", "minimize"], run.path.name)
    assert all(trial.state.name == "COMPLETE" for trial in study.trials)
    for record in stopped:
        assert study.trials[record.number].constraints["early_stopped"] == 1.0
    assert {trial.number for trial in study.best_trials} <= numbers


def test_a_stopped_trial_counts_as_finished_when_the_run_goes_on_even_without_its_study(
    limited, tmp_path: Path
) -> None:
    run, config = limited
    out = shutil.copytree(run.path, tmp_path / "again")
    (out / "study.db").write_bytes(b"no database")
    more = config.model_copy(update={"trials": 7})
    longer = run_search(more, out, resume=True)
    assert [r.recipe for r in longer.records[:6]] == [r.recipe for r in run.records]
    assert [r.status for r in longer.records[:6]] == [r.status for r in run.records]
    study = open_study(out / "study.db", ["maximize", "minimize"], "again")
    stopped = {n for n, t in enumerate(study.trials) if "early_stopped" in t.constraints}
    assert stopped == {r.number for r in longer.records if r.status == "stopped"}


def test_without_stopping_every_trial_runs_to_its_end(limited, tmp_path: Path) -> None:
    run, config = limited
    stopped = next(record for record in run.records if record.status == "stopped")
    whole = rerun_trial(RunFolder.open(run.path), stopped.number)
    assert whole.status == "complete" and whole.payload.rungs == {}
    off = config.model_copy(update={"stopping": False, "trials": 1})
    assert run_search(off, tmp_path / "off").records[0].status == "complete"
