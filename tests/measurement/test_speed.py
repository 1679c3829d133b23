import math
import os

import pytest

from slimtune.measurement.speed import (
    CLOCK_RANGE,
    LONG_SECONDS,
    PROBE_TOLERANCE,
    RECENT_SECONDS,
    FullSpeed,
    ThisMachine,
    speed_of_this_process,
)
from tests.measurement.simulated import SimulatedMachine


def after(*probes: tuple[float, float]) -> FullSpeed:
    speed = FullSpeed()
    for now, probe in probes:
        speed.learn(now, probe)
    return speed


def test_before_the_first_probe_nothing_is_known() -> None:
    assert not FullSpeed().has_probes
    assert FullSpeed().reference() == math.inf


def test_a_probe_is_at_full_speed_up_to_the_tolerance() -> None:
    speed = after((0, 1.0))
    assert speed.has_probes
    assert speed.reached(PROBE_TOLERANCE) and not speed.reached(PROBE_TOLERANCE + 0.01)


def test_of_one_second_the_fastest_probe_is_kept() -> None:
    assert after((0.1, 1.2), (0.5, 1.0), (0.9, 1.1)).reference() == 1.0


def test_a_clock_that_boosts_less_is_full_speed_after_a_while() -> None:
    slower = 0.95 * CLOCK_RANGE
    assert after((0, 1.0), (RECENT_SECONDS - 1, slower)).reference() == 1.0
    assert after((0, 1.0), (RECENT_SECONDS + 1, slower)).reference() == slower


def test_a_slow_spell_does_not_become_the_norm_within_minutes() -> None:
    slow = 1.05 * CLOCK_RANGE
    assert after((0, 1.0), (LONG_SECONDS - 1, slow)).reference() == 1.0
    assert after((0, 1.0), (LONG_SECONDS + 1, slow)).reference() == slow


def test_waiting_ends_when_the_machine_is_at_full_speed() -> None:
    machine = SimulatedMachine(lambda now, core: 1.9 if now < 101 else 1.0)
    speed = after((99, machine.probe_seconds))
    assert speed.reached(speed.wait(machine, until=110))
    assert 101 <= machine.now() < 101.01


def test_waiting_ends_at_the_latest_when_it_is_told_to() -> None:
    machine = SimulatedMachine(lambda now, core: 1.9)
    speed = after((99, machine.probe_seconds))
    assert not speed.reached(speed.wait(machine, until=100.5))
    assert 100.5 <= machine.now() < 100.51


def test_where_one_core_is_slow_another_is_taken() -> None:
    machine = SimulatedMachine(lambda now, core: 1.9 if core == 0 else 1.0, cores=2)
    speed = after((99, machine.probe_seconds))
    assert speed.reached(speed.wait(machine, until=110))
    assert machine.now() < 100.05 and machine.core == 1


def test_the_probe_of_this_machine_takes_time_by_its_clock() -> None:
    with ThisMachine() as machine:
        before = machine.now()
        probe = machine.probe()
        assert 0 < probe <= machine.now() - before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are chosen on Linux only")
def test_a_measurement_leaves_the_cores_of_the_process_as_they_were() -> None:
    before = os.sched_getaffinity(0)
    with ThisMachine() as machine:
        for _ in range(3):
            machine.change_core()
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with ThisMachine(one_core=False) as machine:
        machine.change_core()
        assert os.sched_getaffinity(0) == before


def test_a_process_keeps_what_it_has_learned() -> None:
    assert speed_of_this_process() is speed_of_this_process()
