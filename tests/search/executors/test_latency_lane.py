import os
import platform
import signal
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from torch import nn

from slimtune.compression.export.onnx_file import Signature, export_file
from slimtune.conditions import Conditions
from slimtune.errors import ModelError
from slimtune.measurement.runtime import observe_ranges
from slimtune.search.executors.latency_lane import (
    _find_lane,
    latency_lane,
    measure_on_reference_host,
)
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec

ROOT = Path(__file__).parents[3]
SHAPE = (1, 4, 4)


@pytest.fixture(scope="module")
def file() -> bytes:
    torch.manual_seed(0)
    return export_file(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 2)),
        Signature(SHAPE, (0.5,), (0.5,), ("a", "b")),
        calibration=np.zeros((1, 4, 4, 1), np.uint8),
        observe=observe_ranges,
    ).onnx


def test_without_ray_the_file_is_measured_here(file, tmp_path):
    assert _find_lane() is None
    (tmp_path / "model.onnx").write_bytes(file)
    for form in (file, tmp_path / "model.onnx"):
        (measured,) = measure_on_reference_host([form], image_shape=SHAPE, rounds=3)
        assert measured.ms > 0 and measured.host == platform.node()


def process_of(lane):
    return ray.get(lane.__ray_call__.remote(lambda _: os.getpid()))


def measured_by_a_trial(shared, spec, aids):
    """Measure, kill the lane, and measure again."""
    lane = ray.get_actor(f"slimtune-latency-{ray.get_runtime_context().get_job_id()}")
    before = process_of(lane)
    first = aids.measure_latency([shared], image_shape=SHAPE, rounds=3)
    os.kill(before, signal.SIGKILL)
    second = aids.measure_latency([shared], image_shape=SHAPE, rounds=3)
    aids.pause()  # the flag that the lane has made is found
    window = aids.pause.__self__
    shares = window._until is not None and window._path
    found = (os.getpid(), before, process_of(lane), first[0], second[0], shares)
    return Outcome(spec.number, "complete", payload=found)


def test_a_trial_that_holds_every_cpu_is_measured_by_another_process_which_may_die(
    small_session, file
):
    driver = SpecList([TrialSpec(0, {}, Conditions(0))])
    RayExecutor(concurrency=1).run(measured_by_a_trial, file, driver)
    told = driver.outcomes
    assert told[0].status == "complete", told[0].reason
    trial, before, after, first, second, shares = told[0].payload
    assert len({trial, before, after, os.getpid()}) == 4
    assert first.ms > 0 and second.ms > 0
    assert shares and not shares.exists()
    assert _find_lane() is None


def test_a_block_within_another_uses_its_lane(small_session, file):
    with latency_lane():
        lane = process_of(_find_lane())
        with latency_lane():
            assert process_of(_find_lane()) == lane
        measured = measure_on_reference_host([file, file], image_shape=SHAPE, rounds=3)
        assert len(measured) == 2 and process_of(_find_lane()) == lane
        with pytest.raises(ModelError, match="must be a model that ONNX Runtime") as refused:
            measure_on_reference_host([b"no model"], image_shape=SHAPE)
        assert type(refused.value) is ModelError
    assert _find_lane() is None
