import numpy as np
import pytest
import torch
from torch import nn

from slimtune.compression.export.onnx_file import Signature, export_file
from slimtune.errors import DataError
from slimtune.measurement.latency import (
    PROBE_TOLERANCE,
    FileTimings,
    Round,
    TimingPlan,
    measure_latency,
    time_in_turn,
)
from slimtune.measurement.runtime import observe_ranges
from slimtune.measurement.speed import FullSpeed
from tests.measurement.simulated import SimulatedMachine

SHAPE = (3, 16, 16)
A_TRIAL = TimingPlan(seconds=1.0, enough=12)


def file(width: int) -> bytes:
    model = nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.Conv2d(width, width, 3),
        nn.Conv2d(width, 8, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    return export_file(
        model,
        Signature(SHAPE, (0.5,) * 3, (0.5,) * 3, ("a", "b")),
        calibration=np.zeros((1, 16, 16, 3), np.uint8),
        observe=observe_ranges,
    ).onnx


def known(machine: SimulatedMachine) -> FullSpeed:
    """Return what an earlier measurement at full speed has left."""
    speed = FullSpeed()
    speed.learn(machine.now() - 1, machine.probe_seconds)
    return speed


@pytest.mark.parametrize("wide", [1.0, 1.22, 1.4])
def test_wide_vectors_that_lower_the_clock_cost_no_round(wide: float) -> None:
    """An Intel Xeon with AVX-512: the probe after a run is always 1.22 times the one before."""
    machine = SimulatedMachine(wide=wide)
    [found] = time_in_turn([machine.network(2e-3)], A_TRIAL, machine, known(machine))
    assert found.stable and found.seconds == pytest.approx(2e-3)
    assert found.accepted == len(found.rounds) == 12
    assert machine.now() < 100.3
    assert found.best_after == pytest.approx(wide * machine.probe_seconds)


def test_a_round_counts_if_its_probes_are_at_full_speed_each_among_its_kind() -> None:
    speed = FullSpeed()
    speed.learn(0, 1.0)
    lowered, slow = 1.2 * PROBE_TOLERANCE, 1.2 * PROBE_TOLERANCE + 0.01
    rounds = [
        Round(before=1.0, after=1.2, fastest=5),
        Round(before=PROBE_TOLERANCE, after=lowered, fastest=6),
        Round(before=PROBE_TOLERANCE + 0.01, after=1.2, fastest=4),
        Round(before=1.0, after=slow, fastest=4),
    ]
    timed = FileTimings(speed, rounds)
    assert timed.accepted_rounds == rounds[:2] and not timed.stable
    assert timed.seconds == 4  # of all: too few count
    timed.rounds.append(Round(1.0, 1.2, 7))
    assert timed.stable and timed.seconds == 5


def test_a_probe_twice_as_slow_after_every_round_is_no_lowered_clock() -> None:
    speed = FullSpeed()
    speed.learn(0, 1.0)
    assert FileTimings(speed, [Round(1.0, 2.0, 5)] * 9).accepted == 0


def test_beside_processes_that_take_the_core_most_of_the_time_the_right_time_is_found() -> None:
    machine = SimulatedMachine(preempted=0.5, wide=1.2)
    [found] = time_in_turn([machine.network(2e-3)], A_TRIAL, machine, known(machine))
    assert found.stable and found.seconds == pytest.approx(2e-3)


@pytest.mark.parametrize("begin", [0.0, 0.5, 1.5, 2.5])
def test_slow_spells_of_seconds_are_waited_for(begin: float) -> None:
    """Two seconds in three everything takes 1.9 times as long."""
    machine = SimulatedMachine(lambda now, core: 1.9 if (now + begin) % 3 < 2 else 1.0)
    [found] = time_in_turn([machine.network(2e-3)], A_TRIAL, machine, known(machine))
    assert found.stable and found.seconds == pytest.approx(2e-3)
    assert machine.now() < 100 + A_TRIAL.longest


def test_slow_spells_of_one_core_are_left_for_another() -> None:
    machine = SimulatedMachine(lambda now, core: 1.9 if core == int(now) % 2 else 1.0, cores=2)
    [found] = time_in_turn([machine.network(2e-3)], A_TRIAL, machine, known(machine))
    assert found.stable and found.seconds == pytest.approx(2e-3)
    assert machine.now() < 100.4


def test_a_machine_that_stays_slow_is_not_waited_for_forever() -> None:
    machine = SimulatedMachine(lambda now, core: 1.9)
    [found] = time_in_turn([machine.network(2e-3)], A_TRIAL, machine, known(machine))
    assert not found.stable and found.accepted == 0 and len(found.rounds) == 1
    assert found.seconds == pytest.approx(1.9 * 2e-3)
    assert machine.now() < 100 + A_TRIAL.longest + 0.1


def test_a_clock_that_boosts_less_is_measured_as_it_is() -> None:
    machine = SimulatedMachine(lambda now, core: 1.0 if now < 101 else 1.2)
    speed = known(machine)
    stable = []
    while machine.now() < 200:
        [found] = time_in_turn([machine.network(2e-3)], A_TRIAL, machine, speed)
        stable.append(found.stable)
    assert sum(stable) > 0.9 * len(stable)
    assert found.seconds == pytest.approx(1.2 * 2e-3)


def test_files_are_timed_in_turn_until_all_have_enough() -> None:
    machine = SimulatedMachine(preempted=0.3, wide=1.22)
    works = [machine.network(seconds) for seconds in (1e-3, 2e-3, 8e-3)]
    plan = TimingPlan(rounds=24, seconds=3.0)
    found = time_in_turn(works, plan, machine, known(machine))
    assert [timed.seconds for timed in found] == pytest.approx([1e-3, 2e-3, 8e-3])
    assert {len(timed.rounds) for timed in found} == {len(found[0].rounds)}
    assert 103 <= machine.now() < 103.2


def test_the_first_measurement_of_a_process_takes_its_time_however_hurried() -> None:
    machine = SimulatedMachine()
    [found] = time_in_turn([machine.network(2e-3)], A_TRIAL, machine, FullSpeed())
    assert found.stable and len(found.rounds) >= 24 and machine.now() >= 101


def test_a_hurried_measurement_of_a_large_network_is_content_with_three_rounds() -> None:
    machine = SimulatedMachine()
    [found] = time_in_turn([machine.network(0.4)], A_TRIAL, machine, known(machine))
    assert found.stable and len(found.rounds) == 3


def test_a_large_network_is_not_measured_for_minutes() -> None:
    machine = SimulatedMachine()
    [found] = time_in_turn(
        [machine.network(0.4)], TimingPlan(seconds=1.0), machine, known(machine)
    )
    assert found.stable and len(found.rounds) == 3


def test_no_files_take_no_time() -> None:
    machine = SimulatedMachine()
    assert time_in_turn([], A_TRIAL, machine, known(machine)) == []
    assert machine.now() == 100


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    torch.manual_seed(0)
    return [file(8), file(128)]


def test_a_network_with_a_hundred_times_the_work_is_slower(files: list[bytes]) -> None:
    small, large = measure_latency(files, image_shape=SHAPE, rounds=12)
    assert 0 < small.ms < large.ms


def test_a_measurement_says_how_many_rounds_counted_and_what_it_found(files: list[bytes]) -> None:
    for one in measure_latency(files, image_shape=SHAPE, rounds=6):
        assert 1 <= one.rounds <= 24
        assert 0 <= one.accepted <= one.rounds
        assert one.stable == (one.accepted >= 3)
        assert one.threads == 1
        assert 0 < one.probe_ms and 0 < one.probe_after_ms


def test_no_files_give_no_latencies() -> None:
    assert measure_latency([], image_shape=SHAPE, rounds=1) == []


def test_a_file_for_other_images_is_refused(files: list[bytes]) -> None:
    with pytest.raises(DataError, match="takes images of"):
        measure_latency(files, image_shape=(1, 8, 8), rounds=1)
