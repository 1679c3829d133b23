import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slimtune.errors import DiskFullError, RunError, UserError
from slimtune.results.store.output import write_output


def test_a_regular_file_is_replaced_and_a_new_one_made(tmp_path: Path) -> None:
    for text in ("old", "näw"):
        write_output(tmp_path / "f", text)
    assert (tmp_path / "f").read_text() == "näw"
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, there: bool) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target"
    if there:
        target.write_text("old")
    (tmp_path / "second").symlink_to("far/target")
    (tmp_path / "first").symlink_to("second")
    write_output(tmp_path / "first", b"new")
    assert (tmp_path / "first").is_symlink() and (tmp_path / "second").is_symlink()
    assert target.read_bytes() == b"new" and os.listdir(tmp_path / "far") == ["target"]


def test_a_named_pipe_takes_the_content_and_stays(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, b"x" * 200_000)  # more than a pipe holds at once
    reader.join()
    assert got == [b"x" * 200_000] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_a_device() -> None:
    write_output(Path("/dev/null"), "gone")
    with pytest.raises(DiskFullError, match="/dev/full cannot be written: disk full"):
        write_output(Path("/dev/full"), "x")
    for name in ("/dev/null", "/dev/full"):
        assert stat.S_ISCHR(os.stat(name).st_mode)


def test_a_link_to_a_device_leaves_both(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    write_output(tmp_path / "link", "gone")
    assert (tmp_path / "link").is_symlink() and stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_open_file_is_written_after_what_is_in_it(tmp_path: Path, name: str) -> None:
    code = (
        "import os; from pathlib import Path; "
        "from slimtune.results.store.output import write_output; "
        f"os.write(1, b'first\\n'); write_output(Path({name!r}), 'second\\n')"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "first\nsecond\n"
    piped = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b"first\nsecond\n"


def test_a_reader_that_left_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    write_output(Path(f"/dev/fd/{write}"), "nobody")
    os.close(write)


def test_what_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; name a file in it"):
        write_output(tmp_path, "x")
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(UserError, match="round cannot be written: .*; name another"):
        write_output(tmp_path / "round", "x")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(UserError, match="is a socket"):
            write_output(tmp_path / "s", "x")
    with pytest.raises(UserError, match="parent folder does not exist"):
        write_output(tmp_path / "no" / "f", "x")
    with pytest.raises((UserError, RunError), match="ot a directory"):
        write_output(tmp_path / "s" / "f", "x")
