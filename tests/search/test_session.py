"""The whole search, started for real: digits, inline and on local Ray."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

import slimtune
from slimtune.errors import (
    ConfigError,
    RunError,
    SearchFailedError,
    UserError,
)
from slimtune.results.run import Run, open_run
from slimtune.results.store.lock import RunLock
from slimtune.results.views.summary import summarise
from slimtune.search.review.rerun import compare, rerun_trial
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig
from slimtune.workload.zoo.protocol import ZOO
from tests.search.recording import KindAndValues, noting


@pytest.fixture(scope="module")
def searched(
    digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, list[KindAndValues]]:
    events: list[KindAndValues] = []
    out = tmp_path_factory.mktemp("runs") / "inline"
    run = run_search(digits_config, out, noting(events))
    return run, events


def test_a_run_leaves_a_folder_a_trial_with_the_measured_files(searched) -> None:
    run, _ = searched
    for record in run.records:
        folder = run.path / "trials" / f"{record.number:04d}"
        assert record.status == "complete"
        file = folder / "model.onnx"
        assert file.stat().st_size == record.objectives["size_bytes"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == record.artifacts["model.onnx"]
        assert json.loads((folder / "spec.json").read_text())["number"] == record.number


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


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_trained(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    events: list[str] = []
    with pytest.raises(UserError, match="cannot be created"):
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
        ConfigError, match="ray_address: cannot reach Ray at 127.0.0.1:1: .*; start a cluster"
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
    events: list[KindAndValues] = []
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


def test_a_run_that_another_process_writes_is_refused(
    searched, digits_config: SearchConfig
) -> None:
    run, _ = searched
    with RunLock(run.path):
        for resume in (False, True):
            with pytest.raises(RunError, match="is in use by process"):
                run_search(digits_config, run.path, resume=resume)
