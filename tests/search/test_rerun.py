from pathlib import Path

from slimtune.search.rerun import Comparison, compress_once, find_run
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
