import io
from pathlib import Path

import pytest
from PIL import Image

from slimtune.conditions import Conditions
from slimtune.errors import UserError
from slimtune.results.run import open_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.views.plots import (
    front_png,
    growth_png,
    importance_png,
    spread_png,
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 1100},
        "workload": {"fingerprint": "0" * 64},
    }
    return RunFolder.create(tmp_path / "a", manifest)


def add(folder: RunFolder, number: int, pipeline: str, accuracy: float) -> None:
    record = TrialRecord(
        number=number,
        status="complete",
        recipe={"prune": {"method": pipeline}},
        pipeline=pipeline,
        conditions=Conditions(seed=number),
        objectives={"accuracy": accuracy, "size_bytes": 100},
    )
    folder.write_trial(record, {}, {})


def test_more_pipelines_make_a_taller_png(folder: RunFolder) -> None:
    folder.write_baseline({"objectives": {"accuracy": 0.95, "size_bytes": 1000}}, {})
    add(folder, 0, "l1", 0.9)
    add(folder, 1, "l1", 0.92)
    small = Image.open(io.BytesIO(spread_png(open_run(folder.path))))
    assert small.format == "PNG" and small.width >= 1000
    for number in range(2, 12):
        add(folder, number, f"a pipeline of <many> $words$ and a number {number}" * 2, 0.8)
    large = Image.open(io.BytesIO(spread_png(open_run(folder.path))))
    assert large.height > small.height and len(large.getcolors(1 << 24)) > 10


def test_the_same_run_gives_the_same_picture(folder: RunFolder) -> None:
    add(folder, 0, "l1", 0.9)
    assert spread_png(open_run(folder.path)) == spread_png(open_run(folder.path))


def test_a_run_without_a_trial_has_nothing_to_draw(folder: RunFolder) -> None:
    folder.write_baseline({"objectives": {"accuracy": 0.95, "size_bytes": 1000}}, {})
    with pytest.raises(UserError, match="no complete trial to draw"):
        spread_png(open_run(folder.path))


def test_an_accuracy_that_was_not_optimised_is_drawn_too(tmp_path: Path) -> None:
    manifest = {
        "config": {},
        "objectives": ["size_bytes", "latency_ms"],
        "reference_point": {"size_bytes": 1100, "latency_ms": 2.0},
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(tmp_path / "b", manifest)
    record = TrialRecord(
        number=0,
        status="complete",
        recipe={},
        pipeline="l1",
        conditions=Conditions(seed=0),
        objectives={"size_bytes": 100, "latency_ms": 1.0},
        metrics={"accuracy": 0.9},
    )
    folder.write_trial(record, {}, {})
    assert spread_png(open_run(folder.path)).startswith(b"\x89PNG")


def test_the_figures_of_a_run_are_pngs_and_of_too_few_trials_there_are_none(
    folder: RunFolder,
) -> None:
    run = open_run(folder.path)
    assert [draw(run) for draw in (front_png, growth_png, importance_png)] == [None] * 3
    folder.write_baseline({"objectives": {"accuracy": 0.95, "size_bytes": 1000}}, {})
    for number in range(12):
        add(folder, number, f"l{number % 2}$", 0.9 - number / 100)
    for draw in (front_png, growth_png, importance_png):
        png = draw(run)
        assert png is not None
        assert min(Image.open(io.BytesIO(png)).size) > 300


def test_a_front_of_three_objectives_has_two_pictures(digits_run: Path) -> None:
    png = front_png(open_run(digits_run))
    assert png is not None
    width, height = Image.open(io.BytesIO(png)).size
    assert width > 2 * height


@pytest.mark.parametrize("measured", [True, False])
def test_an_objective_that_is_negative_everywhere_is_drawn(tmp_path: Path, measured: bool) -> None:
    """Such as the logarithm of a likelihood, which is maximised; with and without a baseline."""
    name = "log_likelihood:maximize"
    manifest = {
        "config": {},
        "objectives": [name, "size_bytes"],
        "reference_point": {name: -9.0, "size_bytes": 1100},
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(tmp_path / "c", manifest)
    if measured:
        objectives = {name: -2.5, "size_bytes": 1000}
        folder.write_baseline({"objectives": objectives}, {})
    for number, score in enumerate((-3.0, -4.0)):
        record = TrialRecord(
            number=number,
            status="complete",
            recipe={},
            pipeline="l1",
            conditions=Conditions(seed=0),
            objectives={name: score, "size_bytes": 200 - 100 * number},
        )
        folder.write_trial(record, {}, {})
    png = front_png(open_run(folder.path))
    assert png is not None and png.startswith(b"\x89PNG")
