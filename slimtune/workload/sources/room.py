"""Checks that images fit into the memory of the machine or the container."""

import os
from pathlib import Path

from slimtune.errors import DataError

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> int | None:
    """Return the bytes that this process may use: of the machine, or of its container."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
        for limit in map(Path, _LIMITS):
            if limit.is_file() and (text := limit.read_text().strip()).isdigit():
                found.append(int(text))
    except (OSError, ValueError):  # not Linux
        return None
    return min(found)


def check_room(name: str, size: int, way_out: str) -> None:
    """Refuse what memory cannot hold, before it is asked for.

    Args:
        name: what to call it in the message.
        size: in bytes.
        way_out: what the user can do.

    Raises:
        DataError: it is more than the memory there is.
    """
    room = memory_bytes()
    if room is not None and size > room:
        raise DataError(
            f"{name} would take {size / 2**30:.1f} GiB of memory, but there are "
            f"{room / 2**30:.1f} GiB; {way_out}"
        )
