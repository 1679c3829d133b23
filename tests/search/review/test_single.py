import dataclasses
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from ray import cloudpickle

from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, UserError
from slimtune.results.run import Run
from slimtune.results.store.files import read_json, to_json
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.sealed import read_sealed
from slimtune.search.review.single import run_in_worker, stored_beginning
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.spec import Outcome, TrialSpec

SPACE = {
    "prune": {"method": "l1", "amount": 0.5, "schedule": "incremental", "steps": 2},
    "quantize": {"method": "int8_static"},
    "distill": {"method": "none"},
    "train": {"epochs": 1, "batch_size": 256, "lr": 0.02},
}


@pytest.fixture(scope="module")
def searched(digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = digits_config.model_copy(update={"trials": 1, "space": SPACE, "start": "none"})
    return run_search(config, tmp_path_factory.mktemp("runs") / "a")


@pytest.fixture
def folder(searched: Run, tmp_path: Path) -> RunFolder:
    shutil.copytree(searched.path, tmp_path / "a")
    return RunFolder.open(tmp_path / "a")


def spec_of(folder: RunFolder) -> TrialSpec:
    return TrialSpec.from_dict(read_sealed(folder.trial_path(0) / "spec.json"))


def begin(folder: RunFolder, stage: str, spec: TrialSpec | None = None) -> tuple[str, list[str]]:
    notes: list[str] = []
    spec = spec or spec_of(folder)
    return stored_beginning(
        folder, folder.record(0), spec, stage=stage, note=notes.append
    ).done, notes


def test_each_stage_begins_after_the_one_before_it(folder: RunFolder) -> None:
    assert begin(folder, "train") == ("prune", [])
    assert begin(folder, "quantize") == ("train", [])


def test_a_stage_that_is_not_kept_is_refused_with_what_there_is(folder: RunFolder) -> None:
    keys = folder.record(0).stages
    (folder.checkpoints().path / keys["train"] / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot start at quantize.*is --from-stage train$"):
        begin(folder, "quantize")
    shutil.rmtree(folder.checkpoints().path)
    with pytest.raises(UserError, match="cannot start at train.*possible is its whole recipe$"):
        begin(folder, "train")


def test_a_recipe_that_begins_otherwise_is_refused(folder: RunFolder) -> None:
    spec = spec_of(folder)
    other = {**spec.recipe, "prune": {**spec.recipe["prune"], "amount": 0.25}}
    with pytest.raises(ConfigError, match="prune.amount: is 0.25 here, but .* made with 0.5"):
        begin(folder, "quantize", dataclasses.replace(spec, recipe=other))


def test_a_stage_of_other_code_or_another_processor_is_used_and_told(folder: RunFolder) -> None:
    key = folder.record(0).stages["train"]
    files = folder.checkpoints().fetch(key)
    assert files is not None
    made = read_json(folder.checkpoints().path / key / "stage.json")
    made["origin"] |= {"code": "0" * 64, "cpu": "another"}
    shutil.rmtree(folder.checkpoints().path / key)
    folder.checkpoints(room=2**30).add({key: {**files, "stage.json": to_json(made)}})
    done, [note] = begin(folder, "quantize")
    assert done == "train" and "made with other code and processor" in note


def give(shared: str, spec: TrialSpec, aids: object) -> Outcome:
    if shared == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(spec.number, "complete", payload={"pid": os.getpid()})


@pytest.mark.slow
def test_a_trial_in_a_worker_always_comes_back_with_a_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    spec = TrialSpec(7, {}, Conditions(seed=0))
    assert run_in_worker(give, "", spec).payload["pid"] != os.getpid()
    lost = run_in_worker(give, "kill", spec)
    assert lost.status == "failed" and lost.payload.number == 7
    assert "its process died" in lost.payload.error
