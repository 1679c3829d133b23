import platform
import resource
import subprocess
import sys

import pytest
import torch

from slimtune.search.trial.process.allocator import keep_freed_memory, return_freed_memory

GLIBC = platform.libc_ver()[0] == "glibc"
FAULTS = """
import resource, sys
import torch
from slimtune.search.trial.process.allocator import keep_freed_memory, return_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()

def use():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del [torch.ones(2**22) for _ in range(8)][:]  # 16 MB each
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

first, again = use(), min(use() for _ in range(5))  # some kernels take idle pages back
held = resident()
return_freed_memory()
print(first, again, held - resident())
"""


def faults(mode: str) -> list[int]:
    """Page faults of the first use of 128 MB and of a later one, and the bytes returned."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(not GLIBC, reason="needs glibc")
def test_memory_that_was_freed_is_used_again_without_asking_and_returned_when_told() -> None:
    first, again, returned = faults("kept")
    assert first > 10_000 and again < first / 3
    assert returned > 100 * 2**20


def test_returning_does_no_harm_where_nothing_was_kept() -> None:
    values = torch.ones(10)
    return_freed_memory()
    assert values.sum() == 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_without_glibc_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", absent)
    assert keep_freed_memory() is False
    return_freed_memory()
