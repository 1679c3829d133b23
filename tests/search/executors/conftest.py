"""One Ray for a file of tests, whose functions travel to the workers by value."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from ray import cloudpickle

from slimtune.search.executors.ray_session import ray_session

ROOT = Path(__file__).parents[3]


@contextmanager
def ray_for(module: ModuleType, cpus: int) -> Iterator[None]:
    """Have a Ray whose workers find slimtune as an installed one would be."""
    cloudpickle.register_pickle_by_value(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with ray_session(None, concurrency=cpus, cpus=1, gpus=0, shared_bytes=0):
            yield


@pytest.fixture(scope="module")
def session(request: pytest.FixtureRequest) -> Iterator[None]:
    """A Ray with two CPUs."""
    with ray_for(request.module, 2):
        yield


@pytest.fixture(scope="module")
def small_session(request: pytest.FixtureRequest) -> Iterator[None]:
    """A Ray with one CPU, which a single trial holds."""
    with ray_for(request.module, 1):
        yield
