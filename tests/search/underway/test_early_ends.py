"""Limits, budgets and the stopping rule in a whole search."""

import shutil
from pathlib import Path

import pytest

from slimtune.errors import (
    SearchFailedError,
    UserError,
)
from slimtune.results.run import Run
from slimtune.results.store.folder import RunFolder
from slimtune.search.proposing.study import open_study
from slimtune.search.review.rerun import rerun_trial
from slimtune.search.session import run_search
from slimtune.search.settings.config import ConstraintSettings, SearchConfig
from tests.search.recording import KindAndValues, noting


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
    events: list[KindAndValues] = []
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
