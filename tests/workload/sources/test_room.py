import os

import pytest

from slimtune.errors import DataError
from slimtune.workload.sources import room
from slimtune.workload.sources.room import check_room, memory_bytes


def test_the_memory_is_that_of_the_machine_or_less() -> None:
    found = memory_bytes()
    assert found is not None
    assert 2**20 < found <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_what_memory_cannot_hold_is_refused_with_the_way_out() -> None:
    check_room("a", 1000, "no")
    with pytest.raises(DataError, match=r"9 images would take 1048576.0 GiB .*; add @size=8"):
        check_room("9 images", 2**50, "add @size=8")


def test_where_memory_is_not_known_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "memory_bytes", lambda: None)
    check_room("9 images", 2**60, "")
