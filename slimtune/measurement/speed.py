"""How fast the machine is now, measured by a probe: a fixed amount of plain Python.

A shared host has slow spells in which everything takes up to twice as long, some networks more
than others. Its clock also varies: a boosting processor loses a tenth of its clock for seconds or
minutes when other cores wake, and measurements at that clock are still good. So "full speed" is
the best probe of the last seconds, unless it is so much slower than the best of the last minutes
that the machine must be in a slow spell.
"""

import math
import os
import time
from collections import deque
from functools import cache
from typing import Protocol

PROBE_TOLERANCE = 1.15
"""The machine is at full speed if a probe takes at most this many times the reference."""
RECENT_SECONDS, LONG_SECONDS = 20.0, 300.0
"""Full speed is the best probe of the first; the second shows slow spells, see `CLOCK_RANGE`."""
CLOCK_RANGE = 1.25
"""How many times slower than its best of `LONG_SECONDS` the clock alone can make the machine."""
_PROBE_STEPS = 20_000
_CALIBRATION_PROBES = 60
_PROBES_A_CORE = 8
"""Slow probes before the thread moves to another core: a slow spell is often of one core."""


class Machine(Protocol):
    """What a measurement asks of the machine; times are seconds."""

    def now(self) -> float:
        """Return the time of a clock that only runs forward."""

    def probe(self) -> float:
        """Return how long the fixed amount of plain Python takes now."""

    def change_core(self) -> None:
        """Continue on another core, if there is one."""


class ThisMachine:
    """The machine that this process runs on; a context manager that restores the thread's cores.

    Args:
        one_core: whether the calling thread does all work, so that it may be moved to a core.
    """

    def __init__(self, one_core: bool = True) -> None:
        self._one_core = one_core
        self._all: list[int] = []
        self._changes = 0

    def __enter__(self) -> "ThisMachine":
        if self._one_core and hasattr(os, "sched_getaffinity"):  # Linux
            self._all = sorted(os.sched_getaffinity(0))
        return self

    def __exit__(self, *_: object) -> None:
        if self._changes:
            os.sched_setaffinity(0, self._all)

    def now(self) -> float:
        """Return seconds of a clock that only runs forward."""
        return time.perf_counter()

    def probe(self) -> float:
        """Return the seconds of a fixed amount of plain Python."""
        start = time.perf_counter()
        total = 0
        for step in range(_PROBE_STEPS):
            total += step
        return time.perf_counter() - start

    def change_core(self) -> None:
        """Keep this thread on the next of the cores that it may use."""
        if len(self._all) > 1:
            os.sched_setaffinity(0, {self._all[self._changes % len(self._all)]})
            self._changes += 1


class FullSpeed:
    """A machine's full speed, learned from the probes so far."""

    def __init__(self) -> None:
        self._best: deque[tuple[int, float]] = deque()  # a second, its fastest probe

    @property
    def has_probes(self) -> bool:
        """Whether there has been a probe."""
        return bool(self._best)

    def learn(self, now: float, probe: float) -> None:
        """Learn from a probe.

        Args:
            now: seconds of the machine's clock, never less than before.
            probe: seconds that the probe took.
        """
        second = int(now)
        if self._best and self._best[-1][0] == second:
            probe = min(probe, self._best.pop()[1])
        self._best.append((second, probe))
        while self._best[0][0] < second - LONG_SECONDS:
            self._best.popleft()

    def reference(self) -> float:
        """Return the seconds of a probe at full speed, infinite before the first probe."""
        if not self._best:
            return math.inf
        last = self._best[-1][0]
        recent = min(probe for second, probe in self._best if second >= last - RECENT_SECONDS)
        long = min(probe for _, probe in self._best)
        return recent if recent <= CLOCK_RANGE * long else long

    def reached(self, probe: float) -> bool:
        """Return whether a probe was at full speed."""
        return probe <= PROBE_TOLERANCE * self.reference()

    def calibrate(self, machine: Machine) -> None:
        """Learn from a series of probes, which also wakes an idle core."""
        for _ in range(_CALIBRATION_PROBES):
            self.learn(machine.now(), machine.probe())

    def wait(self, machine: Machine, until: float) -> float:
        """Keep the core busy until it is at full speed, and return the last probe.

        It probes and never sleeps: a shared host gives an idle core away, and it returns slow.

        Args:
            machine: the machine to wait for.
            until: time of its clock after which the next probe is returned, slow or not.
        """
        slow = 0
        while True:
            probe = machine.probe()
            self.learn(machine.now(), probe)
            if self.reached(probe) or machine.now() >= until:
                return probe
            slow += 1
            if slow % _PROBES_A_CORE == 0:
                machine.change_core()


@cache
def speed_of_this_process() -> FullSpeed:
    """Return the full speed that all measurements of this process share."""
    return FullSpeed()
