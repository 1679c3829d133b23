import fcntl
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from slimtune.errors import SlimtuneError
from slimtune.search.executors import ray_folder
from slimtune.search.executors.ray_folder import (
    PREFIX,
    SOCKET_PATH,
    TUNE_PREFIX,
    RayFolder,
    check_folder,
    tune_folder,
)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch):
    """A temporary folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        for name in ("XDG_RUNTIME_DIR", "RAY_TMPDIR"):
            monkeypatch.delenv(name, raising=False)
        yield Path(folder)


def test_it_is_private_and_goes_away_with_what_is_in_it(short: Path) -> None:
    made = RayFolder()
    assert made.path.parent == short and stat.S_IMODE(made.path.stat().st_mode) == 0o700
    (made.path / "session").mkdir()
    made.remove()
    assert os.listdir(short) == []


def test_a_long_path_is_passed_over_for_a_short_one(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = short / ("a_long_folder_name_as_on_a_cluster_" * 3)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    made = RayFolder()
    assert made.path.parent == short
    below = "session_2026-11-29_01-59-42_123456_4194304/sockets/plasma_store.1"
    assert len(os.fsencode(made.inside / below)) <= SOCKET_PATH
    made.remove()
    assert os.listdir(deep) == []


def test_without_any_short_path_the_way_out_is_named(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_folder, "SOCKET_PATH", 60)
    with pytest.raises(SlimtuneError, match="at most .* bytes; set TMPDIR to such a folder"):
        check_folder()


def test_what_a_killed_process_left_is_swept_and_nothing_else(short: Path) -> None:
    living = RayFolder()
    for name in ("killed", "beginning", "old"):
        (short / f"{PREFIX}{name}").mkdir()
    (short / f"{PREFIX}killed" / "lock").touch()
    os.utime(short / f"{PREFIX}old", (0, 0))
    (short / "theirs").mkdir()
    (short / f"{PREFIX}link").symlink_to(short / "theirs")
    with (living.path / "lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    RayFolder().remove()
    left = {f"{PREFIX}beginning", f"{PREFIX}link", "theirs", living.path.name}
    assert set(os.listdir(short)) == left
    living.remove()


def test_a_folder_that_the_user_names_for_ray_is_used_or_refused(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (short / "own").mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(short / "own"))
    made = RayFolder()
    assert made.path.parent == short / "own"
    made.remove()
    for name in ("/proc/1/none", str(short / ("long" * 20))):
        monkeypatch.setenv("RAY_TMPDIR", name)
        with pytest.raises(SlimtuneError, match="set RAY_TMPDIR to such a folder"):
            check_folder()


DIES = """
import os, sys, tempfile
from slimtune.search.executors.ray_folder import tune_folder
tempfile.tempdir = sys.argv[1]
with tune_folder() as folder:
    (folder / "search").mkdir()
    os.kill(os.getpid(), 9)
"""


def test_what_tune_wrote_for_a_driver_that_was_killed_goes_with_the_next(short: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(short)], check=False)
    [left] = os.listdir(short)
    assert left.startswith(TUNE_PREFIX) and (short / left / "search").is_dir()
    with tune_folder() as one, tune_folder() as other:  # which do not sweep each other
        assert {path.name for path in short.iterdir()} == {one.name, other.name}
    assert os.listdir(short) == []


def test_rays_folder_and_tunes_do_not_sweep_each_other(short: Path) -> None:
    (short / f"{PREFIX}killed").mkdir()
    (short / f"{PREFIX}killed" / "lock").touch()
    with tune_folder():
        assert (short / f"{PREFIX}killed").is_dir()
