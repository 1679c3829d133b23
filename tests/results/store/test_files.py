import os
import resource
from contextlib import contextmanager

import pytest

from slimtune.errors import DiskFullError, RunError, UserError
from slimtune.results.store.files import (
    atomic_write,
    is_abandoned,
    plain_name,
    publish_folder,
    publish_tree,
    read_bytes,
    read_json,
    set_aside,
    sha256_file,
    to_json,
)


@contextmanager
def full_disk(limit):
    """Let the kernel refuse every write beyond ``limit`` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_written_file_is_read_back_and_leaves_nothing_beside_it(tmp_path):
    atomic_write(tmp_path / "a.txt", "naïve")
    atomic_write(tmp_path / "a.txt", "◆ twice")
    assert read_bytes(tmp_path / "a.txt") == "◆ twice".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_killed_processes_left_of_a_file_goes_with_the_next_one_written(tmp_path):
    dead = 10**9
    living = os.getppid()
    for name in (f"a.txt.tmp-{dead}", f"a.txt.tmp-{living}", f"b.txt.tmp-{dead}"):
        (tmp_path / name).write_text("part")
    atomic_write(tmp_path / "a.txt", "whole")
    left = {"a.txt", f"a.txt.tmp-{living}", f"b.txt.tmp-{dead}"}
    assert set(os.listdir(tmp_path)) == left


def test_a_full_disk_keeps_the_old_file_and_removes_the_half_written_one(tmp_path):
    atomic_write(tmp_path / "a.txt", "old")
    with full_disk(1000), pytest.raises(RunError, match="a.txt cannot be written: disk full"):
        atomic_write(tmp_path / "a.txt", b"x" * 5000)
    assert os.listdir(tmp_path) == ["a.txt"]
    assert read_bytes(tmp_path / "a.txt") == b"old"


def test_a_full_disk_leaves_no_part_of_a_folder(tmp_path):
    with full_disk(1000), pytest.raises(DiskFullError, match="disk full"):
        publish_folder(tmp_path / "0001", {"small": b"x", "large": b"x" * 5000})
    assert os.listdir(tmp_path) == []


def test_a_missing_parent_folder_is_the_users_to_create(tmp_path):
    with pytest.raises(UserError, match="the parent folder does not exist"):
        atomic_write(tmp_path / "nowhere" / "front.csv", "x")


def test_a_parent_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be written"):
        atomic_write(tmp_path / "file" / "front.csv", "x")
    with pytest.raises(RunError, match="cannot be written"):
        publish_folder(tmp_path / "file" / "0001", {})


def test_a_folder_that_holds_something_is_not_replaced(tmp_path):
    assert publish_folder(tmp_path / "a", {"x": b"1"})
    assert not publish_folder(tmp_path / "a", {"x": b"2"})
    assert (tmp_path / "a" / "x").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/etc/passwd", ".hidden", "..", "", "a\nb", "a" * 101]
)
def test_a_name_that_could_leave_its_folder_is_refused(tmp_path, name):
    with pytest.raises(RunError, match="path leaves the run folder"):
        plain_name(name)
    with pytest.raises(RunError):
        publish_folder(tmp_path / "a", {name: b""})
    assert os.listdir(tmp_path) == []


def test_a_tree_appears_whole_or_not_at_all(tmp_path):
    pairs = [("a/x", b"1"), ("a/y", b"2"), ("z", b"3")]
    assert publish_tree(tmp_path / "t", iter(pairs))
    assert (tmp_path / "t" / "a" / "y").read_bytes() == b"2"
    assert not publish_tree(tmp_path / "t", [("other", b"")])

    def failing():
        yield "a/x", b"1"
        raise RunError("the second one is damaged")

    with pytest.raises(RunError, match="damaged"):
        publish_tree(tmp_path / "u", failing())
    for name in ("../x", "a/../x", "/x", "a//x", "a/.x"):
        with pytest.raises(RunError):
            publish_tree(tmp_path / "u", [(name, b"")])
    assert os.listdir(tmp_path) == ["t"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{\n"a": 1,\n"b"', ":3: damaged"),
        (b"", ":1: damaged"),
        (b'{"a": 1}\n\0\0\0', "damaged"),
        (b'{"a": "\xff"}', "damaged"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b"[1, 2]", "must hold a JSON object"),
        (b"[" * 100_000, "damaged"),
        (b'{"a": ' + b"9" * 5000 + b"}", "damaged"),
    ],
)
def test_damaged_json_is_refused_in_one_line_that_names_the_file(tmp_path, content, reason):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match="result.json") as caught:
        read_json(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_above_the_cap_is_refused_unread(tmp_path):
    (tmp_path / "big.json").write_bytes(b'{"a": "' + b"x" * 100 + b'"}')
    with pytest.raises(RunError, match="larger than the 50 bytes"):
        read_json(tmp_path / "big.json", cap=50)


def test_links_folders_pipes_and_missing_files_are_refused(tmp_path):
    (tmp_path / "target").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    for name, reason in {
        "link": "symbolic link",
        "pipe": "not a regular file",
        ".": "not a regular file",
        "missing": "No such file",
    }.items():
        for read in (read_bytes, sha256_file, read_json):
            with pytest.raises(RunError, match=reason):
                read(tmp_path / name)


def test_the_digest_is_the_published_one_for_abc(tmp_path):
    # FIPS 180-4, the example message "abc".
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "abc") == expected


def test_json_without_words_for_infinity_is_never_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": float("inf")})


def test_what_a_live_process_writes_is_not_abandoned(tmp_path):
    assert not is_abandoned(tmp_path / f"a.tmp-{os.getppid()}")
    assert not is_abandoned(tmp_path / "a.tmp-1")
    assert not is_abandoned(tmp_path / "a")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    for pid in (child, os.getpid(), 10**30):
        assert is_abandoned(tmp_path / f"a.tmp-{pid}")


def test_what_is_set_aside_replaces_nothing(tmp_path):
    for content in ("1", "2"):
        (tmp_path / "a").write_text(content)
        assert set_aside(tmp_path / "a", "damaged").read_text() == content
    assert sorted(os.listdir(tmp_path)) == ["a.damaged-1", "a.damaged-2"]
    with pytest.raises(RunError, match="cannot be written"):
        set_aside(tmp_path / "gone", "damaged")


def test_what_a_killed_process_left_beside_a_folder_is_swept_by_the_next(tmp_path):
    for name in ("deploy.tmp-1000000000", f"deploy.tmp-{os.getpid()}", "deploy.tmp-1", "deployed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").touch()
    assert publish_folder(tmp_path / "deploy", {"a": b"1"})
    assert sorted(os.listdir(tmp_path)) == ["deploy", "deploy.tmp-1", "deployed"]
