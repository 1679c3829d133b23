from pathlib import Path

import pytest

from slimtune.cli.screen.live_view import LiveView
from slimtune.cli.screen.notebook import PAUSE, NotebookProgress, in_notebook, plain_picture
from slimtune.search.listeners.events import (
    BaselineMeasured,
    TrialFinished,
    TrialStarted,
    Warned,
    WorkloadReady,
)
from tests.cli.screen.test_progress import BASELINE, WORKLOAD, record


class Cell:
    """A cell's output: what stands in it, and what stood in it before."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.outputs = 0

    def show(self, text: str):
        self.outputs += 1
        self.drawn.append(text)
        return self.drawn.append


def shown(cell: Cell, seconds: float) -> NotebookProgress:
    now = iter(range(10_000))
    progress = NotebookProgress(Path("runs/a"), cell.show, clock=lambda: next(now) * seconds)
    with progress:
        progress(WorkloadReady(**{**WORKLOAD, "trials": 30}))
        progress(BaselineMeasured(BASELINE))
        for number in range(30):
            progress(TrialStarted(number, "l1 50%"))
            progress(TrialFinished(record(number)))
        progress(Warned("a <b> rule"))
    return progress


def test_a_search_has_one_output_that_keeps_what_a_terminal_keeps() -> None:
    cell = Cell()
    shown(cell, seconds=0.0)
    assert cell.outputs == 1
    final = cell.drawn[-1].splitlines()
    assert [line.split()[0] for line in final] == [
        "slimtune", "data", "search", "baseline", "warning:",
    ]  # fmt: skip


def test_while_it_runs_the_picture_stands_below_the_lines() -> None:
    cell = Cell()
    shown(cell, seconds=PAUSE)
    late = cell.drawn[-3]
    assert "30/30 trials" in late and "trial 29: accuracy 0.9000" in late
    assert all(len(text.splitlines()) < 20 for text in cell.drawn)


def test_it_is_drawn_no_more_often_than_a_browser_likes() -> None:
    quick, slow = Cell(), Cell()
    shown(quick, seconds=0.0)
    shown(slow, seconds=PAUSE)
    assert len(quick.drawn) == 5  # begin, three events that add lines, end
    assert len(slow.drawn) == 65


def test_the_picture_is_plain_text() -> None:
    assert plain_picture(LiveView()) == "· preparing"


def test_this_is_no_notebook() -> None:
    assert not in_notebook()


CELLS = (
    """
import numpy as np
from torch import nn
import slimtune as st
labels = np.arange(240) % 2
shades = np.random.default_rng(0).integers(0, 100, (240, 8, 8), np.uint8)
images = shades + (labels * 100).astype(np.uint8)[:, None, None]
def make(num_classes, in_channels):
    layers = nn.Conv2d(in_channels, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(16, num_classes))
""",
    """
run = st.search(preset="demo", trials=3, model=make, data=(images, labels), out=OUT,
                baseline={"epochs": 3}, concurrency=1)
""",
    "run",
    "run.pick('accuracy').load()",
)


@pytest.mark.slow
def test_a_real_notebook_shows_a_search_of_what_it_defines_in_one_output(tmp_path: Path) -> None:
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebooks = pytest.importorskip("nbformat").v4
    code = [cell.replace("OUT", repr(str(tmp_path / "run"))) for cell in CELLS]
    notebook = notebooks.new_notebook(cells=list(map(notebooks.new_code_cell, code)))
    client.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    _, search, run, loaded = (cell["outputs"] for cell in notebook["cells"])
    (output,) = search
    lines = output["data"]["text/html"].splitlines()
    for word in ("slimtune", "object.data_", ":make", "baseline  accuracy", "front", "report"):
        assert any(word in line for line in lines), (word, lines)
    assert not any("trial " in line for line in lines)  # of the picture, which is gone
    assert "3 trials (3 complete)" in run[0]["data"]["text/html"]
    assert loaded[0]["data"]["text/plain"].startswith("Sequential(")
