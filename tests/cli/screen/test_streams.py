import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slimtune.cli.screen import streams
from slimtune.errors import DiskFullError, RunError

PYTHON = [sys.executable, "-m", "slimtune"]


class Broken(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


def test_what_fails_once_takes_no_more_and_hides_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with streams.tolerate_failures():
        assert sys.stdout.write("abc") == 3 and not streams.output_failed()
        assert sys.stdout.isatty() is False
    assert out.getvalue() == "abc" and sys.stdout is out


@pytest.mark.parametrize(("number", "kind"), [(28, DiskFullError), (5, RunError)])
def test_a_failed_standard_output_is_told_at_the_end(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(number))
    done = []
    with pytest.raises(kind, match="cannot write to standard output"):
        with streams.tolerate_failures():
            sys.stdout.write("abc")
            assert streams.output_failed()
            sys.stdout.write("def")
            done.append(True)
    assert done


def test_a_reader_that_left_and_a_failed_standard_error_are_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(32))
    monkeypatch.setattr(sys, "stderr", Broken(28))
    with streams.tolerate_failures():
        sys.stdout.write("abc")
        sys.stderr.write("abc")


def test_no_stream_at_all_is_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with streams.tolerate_failures():
        assert sys.stdout.write("abc") == 3
    assert sys.stdout is None


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", ["--help", "--json methods"])
def test_a_full_disk_behind_standard_output_is_one_true_line(
    tmp_path: Path, arguments: str
) -> None:
    done = shell(f"{' '.join(PYTHON)} {arguments} > /dev/full", tmp_path)
    assert done.returncode == 5
    assert done.stderr.startswith("error: cannot write to standard output (No space left")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["--help | true", "--help 2> /dev/full", "--help 2>&-", "methods >&-"]
)
def test_no_reader_is_no_error(tmp_path: Path, command: str) -> None:
    command = f"{' '.join(PYTHON)} {command}; exit ${{PIPESTATUS[0]}}"
    done = shell(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_front_to_a_broken_pipe_or_a_full_disk_leaves_the_run_whole(
    digits_run: Path, tmp_path: Path
) -> None:
    command = f"{' '.join(PYTHON)} front {digits_run} --format json"
    piped = shell(f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, "[", "")
    full = shell(f"{command} -o /dev/full", tmp_path)
    assert full.returncode == 5 and full.stderr.startswith("error: /dev/full cannot be written")
    assert Path("/dev/full").is_char_device()
