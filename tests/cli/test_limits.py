from pathlib import Path

import pytest

from slimtune.cli.limits import pick_limits
from slimtune.errors import UserError
from slimtune.results.folder import RunFolder
from slimtune.results.run import Run, open_run

MANIFEST = {
    "config": {},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 5000.0},
    "workload": {"fingerprint": "f"},
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = RunFolder.create(tmp_path / "run", MANIFEST)
    folder.write_baseline({"objectives": {"accuracy": 0.95, "size_bytes": 4000}}, {})
    return open_run(folder.path)


def test_relative_limits_are_relative_to_the_baseline(run: Run) -> None:
    options = {"min_accuracy": "-1%", "max_size": "0.5x", "max_latency": "2ms"}
    assert pick_limits(run, options) == pytest.approx(
        {"min_accuracy": 0.94, "max_size_bytes": 2000.0, "max_latency_ms": 2.0}
    )
    assert pick_limits(run, {"min_accuracy": None, "max_size": None}) == {}


def test_a_baseline_without_the_value_is_told(run: Run) -> None:
    with pytest.raises(UserError, match="--max-latency 0.5x: the run's baseline has no latency"):
        pick_limits(run, {"max_latency": "0.5x"})
