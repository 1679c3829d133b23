import os
import time

import pytest

from slimtune.errors import DiskFullError, RunError
from slimtune.results.store.checkpoints import SUMS, CheckpointStore

A, B, C = (letter * 64 for letter in "abc")
FILES = {"stage.json": b"{}", "model.safetensors": b"w" * 1000}


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "stages", room=2**20)


def age(store, key, seconds):
    then = time.time() - seconds
    os.utime(store.path / key, (then, then))


def test_a_stage_is_read_back_as_it_was_added(store):
    assert store.fetch(A) is None and store.keys() == [] and store.size() == 0
    store.add({A: FILES})
    assert store.fetch(A) == FILES and store.keys() == [A]
    assert store.size() > 1002


@pytest.mark.parametrize("name", ["stage.json", "model.safetensors", SUMS])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "link"])
def test_a_damaged_stage_is_no_stage_and_is_made_again(store, name, damage, tmp_path):
    store.add({A: FILES})
    file = store.path / A / name
    content = file.read_bytes()
    file.unlink()
    if damage == "flip":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "truncate":
        file.write_bytes(content[:-1])
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        file.symlink_to(tmp_path / "elsewhere")
    # JSON needs its last brace, but not the newline behind it.
    whole = (name, damage) == (SUMS, "truncate")
    assert store.fetch(A) == (FILES if whole else None)
    store.add({A: FILES})
    assert store.fetch(A) == FILES


def test_what_was_unused_for_longest_makes_room(tmp_path):
    store = CheckpointStore(tmp_path / "stages", room=3000)
    store.add({A: FILES})
    store.add({B: FILES})
    age(store, A, 60)
    age(store, B, 30)
    assert store.keys() == [A, B]
    store.add({A: {}})  # used again
    assert store.keys() == [B, A]
    store.add({C: FILES})
    assert store.keys() == [A, C] and store.size() <= 3000


def test_a_stage_larger_than_the_room_is_not_written_and_costs_no_other(tmp_path):
    store = CheckpointStore(tmp_path / "stages", room=3000)
    store.add({A: FILES})
    store.add({B: {"model.safetensors": b"w" * 3001}})
    assert store.keys() == [A]


def test_a_use_of_a_stage_that_has_gone_is_no_error(store):
    store.add({A: {}})
    assert store.fetch(A) is None


@pytest.mark.parametrize("key", ["", "../../run.json", A + "/", A.upper(), f"{A}.tmp-1"])
def test_what_is_no_key_is_never_a_path(store, key):
    store.add({A: FILES})
    assert store.fetch(key) is None


def test_strangers_in_the_folder_are_left_alone(store):
    store.add({A: FILES})
    (store.path / f"{B}.tmp-1").mkdir()
    (store.path / "notes.txt").write_text("mine")
    CheckpointStore(store.path, room=0).add({C: {}})
    assert {path.name for path in store.path.iterdir()} == {f"{B}.tmp-1", "notes.txt"}


def test_a_disk_that_refuses_is_an_error_and_leaves_nothing_behind(store):
    store.path.parent.mkdir(exist_ok=True)
    store.path.write_text("in the way")
    with pytest.raises(RunError, match="cannot be written") as caught:
        store.add({A: FILES})
    assert not isinstance(caught.value, DiskFullError)
    assert store.path.read_text() == "in the way"
