import time

import numpy as np
import pytest
import torch
from torch import nn

from slimtune.compression.export.onnx_file import export_onnx
from slimtune.errors import DataError
from slimtune.measurement import latency
from slimtune.measurement.latency import PROBE_TOLERANCE, _accepted, _Round, measure_latency
from slimtune.measurement.runtime import observe_ranges

SHAPE = (3, 16, 16)


def file(width: int) -> bytes:
    model = nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.Conv2d(width, width, 3),
        nn.Conv2d(width, 8, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    return export_onnx(
        model,
        image_shape=SHAPE,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        classes=("a", "b"),
        stored={},
        calibration=np.zeros((1, 16, 16, 3), np.uint8),
        observe=observe_ranges,
    )


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    torch.manual_seed(0)
    return [file(8), file(128)]


def test_a_network_with_a_hundred_times_the_work_is_slower(files: list[bytes]) -> None:
    small, large = measure_latency(files, image_shape=SHAPE, rounds=12)
    assert 0 < small.ms < large.ms


def test_a_measurement_says_how_many_rounds_counted(files: list[bytes]) -> None:
    for one in measure_latency(files, image_shape=SHAPE, rounds=6):
        assert 6 <= one.rounds <= 24
        assert 0 <= one.accepted <= one.rounds
        assert one.stable == (one.accepted >= 3)
        assert one.stable or one.rounds == 24
        assert one.threads == 1


def test_one_round_cannot_be_stable_and_is_extended_to_four(files: list[bytes]) -> None:
    (latency,) = measure_latency(files[:1], image_shape=SHAPE, rounds=1)
    assert 1 <= latency.rounds <= 4
    assert latency.rounds >= 3


def test_rounds_are_spread_over_the_time_asked_for(files: list[bytes]) -> None:
    start = time.perf_counter()
    measure_latency(files[:1], image_shape=SHAPE, rounds=4, seconds=0.4)
    assert time.perf_counter() - start >= 0.4


def test_no_files_give_no_latencies() -> None:
    assert measure_latency([], image_shape=SHAPE, rounds=1) == []


def test_a_file_for_other_images_is_refused(files: list[bytes]) -> None:
    with pytest.raises(DataError, match="takes images of"):
        measure_latency(files, image_shape=(1, 8, 8), rounds=1)


def test_a_round_beside_a_slow_probe_does_not_count() -> None:
    quick, slow = 1000, int(1000 * PROBE_TOLERANCE) + 1
    rounds = [
        _Round((quick, quick), (5,)),
        _Round((quick, slow), (9,)),
        _Round((slow, quick), (9,)),
    ]
    assert _accepted(rounds, best=quick) == rounds[:1]
    assert _accepted([], best=quick) == []


def test_a_call_within_a_slow_spell_is_told_by_the_best_probe_of_the_process(
    files: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_best_probe", [1])  # one nanosecond: never that fast again
    measured = measure_latency(files[:1], image_shape=SHAPE, rounds=4)[0]
    assert not measured.stable and measured.accepted == 0 and measured.rounds == 16
    assert measured.ms > 0


def test_a_hurried_call_ends_once_enough_rounds_count(
    files: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_best_probe", [10**12])  # every round is fast enough
    measured = measure_latency(files[:1], image_shape=SHAPE, rounds=24, seconds=9.0, enough=3)[0]
    assert measured.stable and 3 <= measured.accepted <= measured.rounds


def test_the_first_call_of_a_process_takes_its_time_however_hurried(
    files: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_best_probe", [])
    start = time.perf_counter()
    measured = measure_latency(files[:1], image_shape=SHAPE, rounds=4, seconds=0.4, enough=1)[0]
    assert measured.rounds >= 4 and time.perf_counter() - start >= 0.4


def test_a_machine_that_stays_slow_is_not_waited_for_forever(
    files: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_best_probe", [1])
    measured = measure_latency(files[:1], image_shape=SHAPE, rounds=2, seconds=0.2, enough=3)[0]
    assert not measured.stable and 2 <= measured.rounds <= 8
