import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from slimtune.cli.main import main
from slimtune.cli.verbs.watch import Watcher
from slimtune.conditions import Conditions
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.lock import RunLock
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.status import TrialStatus, write_status

MANIFEST = {
    "config": {"data": "digits"},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 5000.0},
    "workload": {"fingerprint": "f"},
}
AT_WORK = TrialStatus(2, "fpgm [30]%", "fine-tune", time.time())


def write(folder: RunFolder, number: int, accuracy: float) -> None:
    record = TrialRecord(
        number=number, status="complete", recipe={}, pipeline=f"l1 [{number}]",
        conditions=Conditions(seed=0),
        objectives={"accuracy": accuracy, "size_bytes": 4000.0 - number},
    )  # fmt: skip
    folder.write_trial(record, {}, {})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run", MANIFEST)
    write(folder, 0, 0.9)
    write(folder, 1, 0.8)
    return folder


def test_of_a_finished_run_it_says_so_and_shows_the_front(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    write_status(folder.path, total=2, finished=True)
    before = sorted(folder.path.rglob("*"))
    assert main(["watch", str(folder.path)]) == 0
    captured = capsys.readouterr()
    assert captured.err == "finished · 2 of 2 trials\n"
    assert "l1 [0]" in captured.out and "l1 [1]" in captured.out
    assert sorted(folder.path.rglob("*")) == before


def test_of_an_interrupted_run_it_says_how_to_go_on(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    write_status(folder.path, total=9, running=[AT_WORK])
    assert main(["watch", str(folder.path)]) == 0
    told = capsys.readouterr().err
    assert told.startswith("interrupted · 2 of 9 trials · continue with: ")
    assert told.endswith(f"search --resume {folder.path}\n")


def test_an_interrupted_run_with_code_of_the_users_own_goes_on_with_consent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workload = {"fingerprint": "f", "code": {"/a/net.py:make": "abc"}}
    folder = RunFolder.create(tmp_path / "run", {**MANIFEST, "workload": workload})
    write_status(folder.path, total=9)
    assert main(["watch", str(folder.path)]) == 0
    assert capsys.readouterr().err.endswith(f"search --resume {folder.path} --allow-code\n")


def test_one_look_at_a_running_search_shows_who_is_at_work_on_what(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    write_status(folder.path, total=9, running=[AT_WORK])
    with RunLock(folder.path):
        assert main(["watch", "--once", str(folder.path)]) == 0
        text = capsys.readouterr().err
        assert main(["--json", "watch", "--once", str(folder.path)]) == 0
    assert text.startswith(f"running (process {os.getpid()} on ")
    assert "running    2  fine-tune   fpgm [30]%" in text
    status = json.loads(capsys.readouterr().out)
    assert (status["state"], status["finished"], status["total"]) == ("running", 2, 9)
    assert status["running"][0]["stage"] == "fine-tune"
    assert [member["trial"] for member in status["members"]] == [0, 1]


def test_what_finishes_between_two_looks_is_read_once(folder: RunFolder) -> None:
    write_status(folder.path, total=3, running=[AT_WORK])
    with RunLock(folder.path):
        watcher = Watcher(folder.path)
        assert [record.number for record in watcher.look()] == [0, 1]
        assert list(watcher.view.running) == [2]
        write(folder, 2, 0.7)
        assert [record.number for record in watcher.look()] == [2]
        assert watcher.view.running == {}  # its folder is newer than the status
        assert watcher.look() == []
    assert watcher.view.finished == 3


def test_a_search_without_a_baseline_is_preparing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLock(tmp_path):
        assert main(["watch", "--once", str(tmp_path)]) == 0
    assert capsys.readouterr().err.startswith("preparing (process ")
    assert main(["watch", str(tmp_path / "nothing")]) == 5


SEARCH = """
import sys, time
from pathlib import Path
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.lock import RunLock
from slimtune.results.store.status import write_status
from tests.cli.verbs.test_watch import write
folder = RunFolder.open(Path(sys.argv[1]))
with RunLock(folder.path):
    write_status(folder.path, total=4)
    print("locked", flush=True)
    sys.stdin.readline()
    write(folder, 3, 0.5)
    write_status(folder.path, total=4, finished=True)
"""


def test_without_a_terminal_each_trial_is_a_line_until_the_search_ends(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-c", SEARCH, str(folder.path)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, text=True
    ) as search:
        assert search.stdout is not None and search.stdin is not None
        assert search.stdout.readline() == "locked\n"
        watcher = subprocess.Popen(
            [sys.executable, "-m", "slimtune", "watch", "--interval", "0.1", str(folder.path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root, text=True,
        )  # fmt: skip
        assert watcher.stderr is not None
        told = [watcher.stderr.readline() for _ in range(3)]
        search.stdin.write("\n")
        search.stdin.flush()
        out, rest = watcher.communicate(timeout=60)
    assert told[0].startswith("running (process ")
    assert told[1].startswith("trial    0  accuracy 0.9000")
    assert rest.splitlines()[0].startswith("trial    3  accuracy 0.5000")
    assert rest.splitlines()[1] == "finished · 3 of 4 trials"
    assert "l1 [3]" in out and watcher.returncode == 0


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_on_a_terminal_q_and_ctrl_c_leave_and_the_search_goes_on(
    folder: RunFolder, key: bytes
) -> None:
    master, slave = pty.openpty()
    with RunLock(folder.path):
        write_status(folder.path, total=9, running=[AT_WORK])
        watcher = subprocess.Popen(
            [sys.executable, "-m", "slimtune", "watch", "--interval", "0.2", str(folder.path)],
            stdin=slave, stdout=slave, stderr=slave, cwd=Path(__file__).parents[3],
            start_new_session=True, preexec_fn=lambda: _own_terminal(slave),
            env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(slave)
        seen = b""
        while b"fine-tune" not in seen:
            seen += os.read(master, 4096)
        os.write(master, key)
        assert watcher.wait(timeout=60) == 0
        with pytest.raises(Exception, match="in use"), RunLock(folder.path):
            pass
    os.close(master)
    assert b"l1 [0]" in seen


def _own_terminal(slave: int) -> None:
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def test_the_time_is_the_search_s_and_not_the_watcher_s(folder: RunFolder) -> None:
    write(folder, 2, 0.7)
    write_status(folder.path, total=9, begun=time.time() - 600, before=1)
    with RunLock(folder.path):
        watcher = Watcher(folder.path)
        watcher.look()
    # 2 of these 3 trials in 10 minutes: 6 more take half an hour
    assert watcher.view.eta() == pytest.approx(1800, rel=0.05)
    assert " · 10:" in watcher.view._headline(200)
