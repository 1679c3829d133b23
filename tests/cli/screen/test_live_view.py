import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from slimtune.cli.screen.live_view import LiveView, spread_positions
from slimtune.conditions import Conditions
from slimtune.results.run import Run, open_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord

NAMES = ("accuracy", "size_bytes", "latency_ms")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def record(
    number: int, accuracy: float = 0.9, size: float = 2048.0, **changes: Any
) -> TrialRecord:
    values: dict[str, Any] = {
        "number": number,
        "status": "complete",
        "recipe": {},
        "pipeline": f"[pipeline] {number} " + "x" * 100,
        "conditions": Conditions(0),
        "objectives": dict(zip(NAMES, (accuracy, size, 0.25), strict=True)),
    }
    return TrialRecord(**{**values, **changes})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    manifest = {
        "config": {},
        "objectives": list(NAMES),
        "reference_point": {"accuracy": 0.0, "size_bytes": 4096.0, "latency_ms": 1.0},
        "workload": {"fingerprint": "f"},
    }
    return open_run(RunFolder.create(tmp_path / "run", manifest).path)


def drawn(view: LiveView, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False)
    console.print(view)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_before_the_first_trial_it_says_what_goes_on() -> None:
    assert drawn(LiveView(title="baseline  epoch 1")) == ["· baseline  epoch 1"]


def test_it_shows_progress_the_front_and_who_is_at_work_on_what(run: Run) -> None:
    clock = Clock()
    view = LiveView(clock=clock, title="trials", total=4)
    view.begin([], run)
    view.start(0, "pipeline 0")
    clock.now += 10
    view.finish(record(0), "accuracy 0.9000")
    view.start(1, "[pipeline] 1")
    view.stage(1, "fine-tune")
    clock.now += 5
    lines = drawn(view, width=100)
    # By hand: 0.9 * (1 - 2048 / 4096) * (1 - 0.25).
    assert "1/4 trials · hypervolume 0.3375 (+0.3375) · 0:15 · ETA 0:45" in lines[0]
    assert lines[1].split() == [
        "trial", "accuracy", "↑", "size", "KiB", "↓", "latency", "ms", "↓", "front", "so", "far",
    ]  # fmt: skip
    assert lines[2].startswith("  ◆ 0      0.9000         2.0         0.250  [pipeline] 0 xxx")
    assert lines[3] == "running    1  fine-tune   0:05  [pipeline] 1"
    assert lines[4] == "trial 0: accuracy 0.9000"


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (100, "2/4 trials · 1 stopped · hypervolume 0.3375 · 0:15 · ETA 0:15"),
        (80, "2/4 trials · 1 stopped · hypervolume 0.3375 · 0:15 · ETA 0:15"),
        (60, "2/4 trials · 1 stopped · 0:15 · ETA 0:15"),
        (46, "2/4 trials · 0:15 · ETA 0:15"),
    ],
)
def test_in_a_narrow_terminal_the_times_stay(run: Run, width: int, line: str) -> None:
    clock = Clock()
    view = LiveView(clock=clock, title="trials", total=4)
    view.begin([], run)
    clock.now += 15
    view.finish(record(0), "accuracy 0.9000")
    view.finish(record(1, status="stopped", objectives={}), "stopped")
    assert drawn(view, width)[0].endswith(line)


def test_failed_and_stopped_trials_are_counted_and_gain_nothing(run: Run) -> None:
    view = LiveView(title="trials", total=9)
    view.begin([record(0)], run)
    view.finish(record(1, status="failed", objectives={}, error="no"), "failed: no")
    view.finish(record(2, status="stopped", objectives={}), "stopped")
    assert view.counts == "1 failed, 1 stopped"
    assert "3/9 trials · 1 failed, 1 stopped · hypervolume 0.3375 · " in drawn(view, 120)[0]


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (200, 60)])
def test_it_never_needs_more_room_than_the_terminal_has(run: Run, width: int, height: int) -> None:
    view = LiveView(title="trials", total=99)
    view.begin([record(n, 0.9 - n / 100, 2048.0 - n * 10) for n in range(40)], run)
    view.start(40, "y" * 300)
    view.finish(record(41, 0.4, 100.0), "z" * 300)
    lines = drawn(view, width, height)
    assert len(lines) <= max(height, 9)
    assert max(map(len, lines)) <= max(width, 50)
    assert any("◆" in line for line in lines)
    assert any("front so" in line for line in lines) or width < 60


def test_the_pace_is_of_this_search_alone(run: Run) -> None:
    clock = Clock()
    view = LiveView(clock=clock, title="trials", total=10)
    view.begin([record(n) for n in range(8)], run)
    assert view.eta() is None
    clock.now += 6
    view.finish(record(8), "done")
    assert view.eta() == pytest.approx(6.0)
    assert LiveView().eta() is None


def test_news_of_a_stage_that_come_after_the_end_are_passed_over(run: Run) -> None:
    view = LiveView()
    view.stage(3, "measure")
    assert view.running == {}


@pytest.mark.parametrize("length", [1, 2, 5, 40])
@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_thinning_keeps_the_one_that_must_stay_in_order(length: int, most: int) -> None:
    for always in range(length):
        kept = spread_positions(length, most, always)
        assert len(kept) == len(set(kept)) == min(length, most)
        assert kept == sorted(kept) and always in kept
