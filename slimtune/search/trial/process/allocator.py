"""Lets worker processes request memory from the system rarely, and in large pieces.

Each training step frees and asks for the same few hundred MB. By default glibc returns much of
that to the system and has it zeroed, page by page, on the next request.
"""

import ctypes
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_* of malloc.h
_LARGE = 2**30


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for its next requests; for worker processes only.

    `return_freed_memory` returns it to the system.

    Returns:
        Whether the C library is glibc and has agreed.
    """
    libc = _glibc()
    if libc is None:
        return False
    return all(libc.mallopt(name, _LARGE) for name in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))


def return_freed_memory() -> None:
    """Return to the system what this process has freed; does nothing without glibc."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any | None:
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
    except OSError:  # not Linux, or another C library
        return None
