import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from slimtune.measurement import quiet_window
from slimtune.measurement.quiet_window import QuietWindow

TRAINER = """
import sys
from slimtune.measurement.quiet_window import QuietWindow
window = QuietWindow(sys.argv[1])
print("at work", flush=True)
sys.stdin.readline()
window.pause()
print("goes on", flush=True)
"""


@pytest.fixture
def name() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    QuietWindow(name).remove()


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No window ends by itself while a test looks."""
    monkeypatch.setattr(quiet_window, "LONGEST", 3600.0)


def is_open(window: QuietWindow) -> bool:
    assert window._until is not None
    return window._until[0] > 0


def test_where_nobody_measures_nobody_pauses(name: str) -> None:
    trainer = QuietWindow(name)
    trainer.pause()
    with trainer.open():
        trainer.pause()
    assert not trainer._path.exists()


def test_a_trainer_pauses_until_the_window_closes(name: str, slowly: None) -> None:
    lane, trainer = QuietWindow(name, create=True), QuietWindow(name)
    trainer.pause()  # none is open
    order = []

    def train() -> None:
        trainer.pause()
        order.append("trains")

    with lane.open():
        assert is_open(lane)
        thread = threading.Thread(target=train)
        thread.start()
        time.sleep(0.05)
        order.append("measured")
    thread.join()
    assert order == ["measured", "trains"]


def test_a_trainer_in_another_process_pauses(name: str) -> None:
    lane = QuietWindow(name, create=True)
    command = [sys.executable, "-c", TRAINER, name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as trainer:
        assert trainer.stdout is not None and trainer.stdin is not None
        assert trainer.stdout.readline() == "at work\n"
        lane._until[0] = int((time.monotonic() + 3600) * 1e9)  # its own bound ends its pause
        began = time.monotonic()
        print(file=trainer.stdin, flush=True)
        assert trainer.stdout.readline() == "goes on\n"
        assert time.monotonic() - began >= quiet_window.LONGEST


def test_nobody_waits_for_one_that_died_while_it_measured(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet_window, "LONGEST", 0.05)
    lane, trainer = QuietWindow(name, create=True), QuietWindow(name)
    lane._until[0] = 2**62  # nothing closes it
    trainer.pause()


def test_trainers_get_their_time_between_two_windows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, now = QuietWindow(name, create=True), [1000.0]
    monkeypatch.setattr(quiet_window.time, "monotonic", lambda: now[0])
    with lane.open():
        now[0] += 0.25
    for wait, opens in [(0.5, False), (0.4, False), (0.2, True)]:
        now[0] += wait
        with lane.open():
            assert is_open(lane) == opens
    with lane.open():
        now[0] += 60  # the window is over after a second, and so is what it costs
    now[0] += quiet_window.TRAINING_SHARE * quiet_window.LONGEST + 0.1
    with lane.open():
        assert is_open(lane)


def test_an_error_in_the_block_closes_the_window(name: str, slowly: None) -> None:
    lane = QuietWindow(name, create=True)
    with pytest.raises(ValueError, match="broken"), lane.open():
        raise ValueError("broken")
    assert not is_open(lane)
    QuietWindow(name).pause()


def test_a_link_that_somebody_put_there_is_not_followed(name: str, tmp_path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("content")
    os.symlink(victim, QuietWindow(name)._path)
    for create in (True, False):
        window = QuietWindow(name, create)
        with window.open():
            window.pause()
    assert victim.read_text() == "content"


def test_a_flag_is_private_and_goes_when_it_is_removed(name: str) -> None:
    window = QuietWindow(name, create=True)
    assert window._path.stat().st_mode & 0o777 == 0o600
    window.remove()
    window.remove()
    assert not window._path.exists()
    with window.open():
        window.pause()
