import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import cloudpickle

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.errors import RunError
from slimtune.measurement.host import describe_host
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.search.review import rerun
from slimtune.search.review.rerun import (
    Comparison,
    RerunOptions,
    changed,
    compare,
    other_numbers,
    rerun_trial,
)
from slimtune.search.session import run_search
from slimtune.search.settings.config import make_config
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.workload.own_code import allow_all_code, local_modules

WORKER = """
import pickle, sys
from slimtune.search.trial.attempt import Aids
with open(sys.argv[1], "rb") as sent:
    work, shared, spec = pickle.load(sent)
with open(sys.argv[2], "wb") as made:
    pickle.dump(work(shared, spec, Aids()), made)
"""
"""What a worker process does: it has neither the user's module nor consent to import it."""


def test_equal_hashes_are_identical() -> None:
    assert Comparison("model.onnx", "a", "a").identical
    assert not Comparison("model.onnx", "a", "b").identical


def test_another_method_takes_its_own_defaults_and_keeps_the_stages() -> None:
    recipe = {
        "prune": {"method": "bn_scale", "amount": 0.4, "sparsity": 0.01},
        "distill": {"method": "attention", "attention_weight": 50.0},
    }
    spec = TrialSpec(0, Recipe.from_dict(recipe).to_dict(), Conditions(seed=1))
    other = changed(spec, {"prune.method": "l1", "distill.method": "base"})
    made = Recipe.from_dict(other.recipe)
    assert made.prune is not None and made.prune.amount == 0.4 and made.distill.alpha == 0.9
    bare = Recipe.from_dict(changed(spec, {"prune.method": "none"}).recipe)
    assert bare.prune is None and other.conditions.seed == 1


def test_a_note_says_where_other_numbers_may_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(describe_host()["cpu"])
    record = TrialRecord(
        number=3,
        status="complete",
        recipe={},
        pipeline="",
        conditions=Conditions(seed=0),
        host={"cpu": here},
    )
    assert other_numbers(record) == ""
    elsewhere = replace(record, host={"cpu": "Other"})
    assert other_numbers(elsewhere).startswith("trial 3 was trained on Other, this is ")
    assert other_numbers(replace(elsewhere, conditions=Conditions(seed=0, device="cuda:0"))) == ""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    short = replace(record, conditions=Conditions(seed=0, precision="bfloat16"))
    assert "has no instructions for it: this takes longer" in other_numbers(short)


def test_a_worker_is_given_the_code_that_the_run_names(
    own_net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_all_code()
    metric = tmp_path / "metric.py"
    metric.write_text("def right(logits, labels):\n    return (logits.argmax(1) == labels).mean()")
    space = {"train": {"epochs": 0}, "distill": {"method": "none"}}
    settings = {"model": f"{own_net}:make", "data": "digits", "executor": "inline", "trials": 1}
    settings |= {"objectives": ["size_bytes", f"{metric}:right:maximize"]}
    config = make_config({**settings, "baseline": {"epochs": 1}, "space": space})
    run = run_search(config, tmp_path / "run")
    for module in local_modules(f"{own_net}:make"):  # as in a process that has not searched
        if module.__name__ in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.unregister_pickle_by_value(module)

    def in_a_fresh_process(work: Any, shared: Any, spec: TrialSpec) -> Outcome:
        sent, made = tmp_path / "sent", tmp_path / "made"
        sent.write_bytes(cloudpickle.dumps((work, shared, spec)))
        command = [sys.executable, "-c", WORKER, str(sent), str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outcome: Outcome = pickle.loads(made.read_bytes())
        return outcome

    monkeypatch.setattr(rerun, "run_in_worker", in_a_fresh_process)
    again = rerun_trial(run.folder, 0, options=RerunOptions(ray=True))
    assert again.status == "complete", again.reason
    assert again.objectives == run.records[0].objectives
    student = tmp_path / "student.py"
    student.write_text(own_net.read_text())
    other = rerun_trial(
        run.folder, 0, {"student.model": f"{student}:make"}, RerunOptions(ray=True)
    )
    assert other.status == "complete", other.reason


def test_a_rerun_makes_the_same_bytes_and_does_not_touch_the_run(digits_run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in digits_run.rglob("*") if p.is_file()}
    folder = RunFolder.open(digits_run)
    assert all(c.identical for c in compare(folder, rerun_trial(folder, 1)))
    after = {p: p.stat().st_mtime_ns for p in digits_run.rglob("*") if p.is_file()}
    assert before == after


def test_a_rerun_with_another_setting_makes_other_bytes(digits_run: Path) -> None:
    folder = RunFolder.open(digits_run)
    changes = {"prune.method": "l1", "prune.amount": 0.33, "train.epochs": 0, "distill": {}}
    outcome = rerun_trial(folder, 0, changes)
    assert outcome.payload.recipe["prune"]["amount"] == 0.33
    differing = {c.name for c in compare(folder, outcome) if not c.identical}
    assert "model.onnx" in differing


def test_a_rerun_on_changed_data_is_refused(run_on_other_data: Path) -> None:
    with pytest.raises(RunError, match="the data of digits has changed"):
        rerun_trial(RunFolder.open(run_on_other_data), 0)
