from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slimtune.compression.recipe import Recipe
from slimtune.measurement.host import describe_host
from slimtune.results.record import TrialRecord
from slimtune.search.rerun import (
    Comparison,
    changed,
    compress_once,
    find_run,
    other_numbers,
)
from slimtune.search.spec import TrialSpec
from slimtune.workload.types import Workload


def test_a_file_finds_the_run_it_lies_in(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    inside = tmp_path / "trials" / "0001" / "model.onnx"
    inside.parent.mkdir(parents=True)
    inside.touch()
    assert find_run(inside) == tmp_path.resolve() and find_run(Path("/")) is None


def test_equal_hashes_are_identical() -> None:
    assert Comparison("model.onnx", "a", "a").identical
    assert not Comparison("model.onnx", "a", "b").identical


def test_one_recipe_runs_without_a_search(digits: Workload) -> None:
    outcome = compress_once(digits, {"prune": {"method": "l1"}, "train": {"epochs": 0}}, seed=0)
    assert outcome.status == "complete" and outcome.number == 0


def test_another_method_takes_its_own_defaults_and_keeps_the_stages() -> None:
    recipe = {
        "prune": {"method": "bn_scale", "amount": 0.4, "sparsity": 0.01},
        "distill": {"method": "attention", "attention_weight": 50.0},
    }
    spec = TrialSpec(0, Recipe.from_dict(recipe).to_dict(), seed=1)
    other = changed(spec, {"prune.method": "l1", "distill.method": "base"})
    made = Recipe.from_dict(other.recipe)
    assert made.prune is not None and made.prune.amount == 0.4 and made.distill.alpha == 0.9
    bare = Recipe.from_dict(changed(spec, {"prune.method": "none"}).recipe)
    assert bare.prune is None and other.seed == 1


def test_a_note_says_where_other_numbers_may_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(describe_host()["cpu"])
    record = TrialRecord(
        number=3, status="complete", recipe={}, pipeline="", seed=0, host={"cpu": here}
    )
    assert other_numbers(record) == ""
    elsewhere = replace(record, host={"cpu": "Other"})
    assert other_numbers(elsewhere).startswith("trial 3 was trained on Other, this is ")
    assert other_numbers(replace(elsewhere, device="cuda:0")) == ""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    short = replace(record, precision="bfloat16")
    assert "has no instructions for it: this takes longer" in other_numbers(short)
