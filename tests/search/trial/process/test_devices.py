from pathlib import Path

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import TrialError, UserError
from slimtune.search.trial.process.devices import (
    check_device,
    free_memory,
    is_available,
    on_available_device,
)
from slimtune.search.trial.spec import TrialSpec

FAR = "cuda:99"


def test_the_cpu_is_always_here_and_the_hundredth_gpu_is_not() -> None:
    assert is_available("cpu")
    assert not is_available(FAR)
    assert not is_available("tpu")


def test_a_trial_whose_device_is_missing_says_so() -> None:
    check_device("cpu")
    with pytest.raises(TrialError, match="was given cuda:99, but torch sees . CUDA devices"):
        check_device(FAR)


def test_a_trial_from_elsewhere_runs_on_the_cpu_unless_it_must_be_exact() -> None:
    spec = TrialSpec(7, {}, Conditions(seed=1, threads=2, device=FAR))
    assert on_available_device(spec) == TrialSpec(
        7, {}, Conditions(seed=1, threads=2, device="cpu")
    )
    with pytest.raises(
        UserError, match="trial 7 was trained on cuda:99, which this machine lacks"
    ):
        on_available_device(spec, exact=True)
    here = TrialSpec(7, {}, Conditions(seed=1))
    assert on_available_device(here, exact=True) is here


def test_without_a_gpu_there_is_no_memory_to_give_back() -> None:
    free_memory()


def test_memory_that_was_freed_goes_back_to_the_host() -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    free_memory()
    kept = [bytes(100_000) for _ in range(500)]  # each below what malloc maps by itself
    full, last = resident(), bytes(100_000)  # the last keeps the heap from shrinking by itself
    del kept
    free_memory()
    assert last and resident() < full
