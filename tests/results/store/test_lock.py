import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from slimtune.errors import RunError, UserError
from slimtune.results.store.lock import RunLock, claim, holder_of

HOLD = """
import sys
from pathlib import Path
from slimtune.results.store.lock import RunLock
with RunLock(Path(sys.argv[1])):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_second_writer_is_refused_with_process_and_host_of_the_first(tmp_path, holder):
    text = f"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()}"
    with pytest.raises(RunError, match=re.escape(text)) as caught, RunLock(tmp_path):
        pass
    assert caught.value.exit_code == 5
    assert holder_of(tmp_path) == f"process {holder.pid} on {socket.gethostname()}"


def test_a_killed_writer_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text()


def test_the_lock_can_be_taken_again_when_its_block_is_left(tmp_path):
    for _ in range(2):
        with RunLock(tmp_path):
            assert holder_of(tmp_path) is not None
        assert holder_of(tmp_path) is None
    assert os.listdir(tmp_path) == ["lock"]


@pytest.mark.parametrize("kind", ["missing", "link", "folder"])
def test_what_cannot_be_locked_is_refused_in_one_line(tmp_path, kind):
    run = tmp_path / "run"
    if kind != "missing":
        run.mkdir()
    if kind == "link":
        (run / "lock").symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        (run / "lock").mkdir()
    with pytest.raises(RunError, match="cannot be locked: .*; put the run folder") as caught:
        RunLock(run).__enter__()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "elsewhere").exists()
    assert holder_of(run) is None


def test_a_claim_in_which_nothing_was_begun_leaves_no_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt), claim(tmp_path / "runs" / "a"):
        assert holder_of(tmp_path / "runs" / "a") is not None
        raise KeyboardInterrupt
    assert os.listdir(tmp_path / "runs") == []


def test_a_claim_in_which_something_was_written_stays(tmp_path):
    with claim(tmp_path / "a"):
        (tmp_path / "a" / "run.json").touch()
    assert sorted(os.listdir(tmp_path / "a")) == ["lock", "run.json"]


def test_a_folder_that_exists_is_claimed_again_only_if_asked_and_never_begun(tmp_path):
    run = tmp_path / "a"
    run.mkdir()
    with pytest.raises(UserError, match="already exists"), claim(run):
        pass
    for name in ("baseline", "baseline.left-1"):
        (run / name).mkdir()
    (run / "lock").touch()
    with claim(run, again=True):
        assert sorted(os.listdir(run)) == ["baseline.left-1", "baseline.left-2", "lock"]


@pytest.mark.parametrize("name", ["trials", "holiday.jpg", "study.db"])
def test_a_folder_of_something_else_is_never_claimed(tmp_path, name):
    (tmp_path / "lock").touch()
    (tmp_path / name).touch()
    with pytest.raises(RunError, match="is not a slimtune run"), claim(tmp_path, again=True):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted(["lock", name])


def test_a_writer_waits_for_those_who_only_look(tmp_path):
    looked = threading.Event()

    def look():
        while not looked.is_set():
            holder_of(tmp_path)

    readers = [threading.Thread(target=look) for _ in range(3)]
    with RunLock(tmp_path):
        pass
    for reader in readers:
        reader.start()
    try:
        for _ in range(50):
            with RunLock(tmp_path):
                pass
    finally:
        looked.set()
        for reader in readers:
            reader.join()


def test_what_a_killed_search_left_half_written_is_swept_before_the_next_begins(tmp_path):
    for name in ("baseline.tmp-1", f"teacher.tmp-{os.getpid()}"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").touch()
    (tmp_path / "run.json.tmp-77").touch()
    (tmp_path / "lock").touch()
    with claim(tmp_path, again=True):
        assert os.listdir(tmp_path) == ["lock"]
