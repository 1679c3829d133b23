"""How fast the machine is just now, told by a fixed amount of plain Python: the probe.

A shared host has slow spells in which everything takes up to twice as long, some networks more
than others. It also has clocks that move: a processor that boosts gives up a tenth of its clock
when other cores wake, for seconds or minutes, and that is no reason to throw a measurement away.
So "full speed" is what the probe has been of late, unless that is so far from what it has been
within minutes that the machine must be in a slow spell.
"""

import math
import os
import time
from collections import deque
from functools import cache
from typing import Protocol

PROBE_TOLERANCE = 1.15
"""The machine is at full speed while a probe takes at most this times the reference."""
RECENT_SECONDS, LONG_SECONDS = 20.0, 300.0
"""Full speed is the best probe of the first; the second tells a slow spell from a slower clock."""
CLOCK_RANGE = 1.25
"""How much slower than at its best of `LONG_SECONDS` the machine may be by its clock alone."""
_PROBE_STEPS = 20_000
_CALIBRATION_PROBES = 60
_PROBES_A_CORE = 8
"""Slow probes before another core is tried: slow spells often are those of one core."""


class Machine(Protocol):
    """What a measurement asks of the machine; times are seconds."""

    def now(self) -> float:
        """Return the time of a clock that only runs forward."""

    def probe(self) -> float:
        """Return how long the fixed amount of plain Python takes now."""

    def change_core(self) -> None:
        """Go on on another core, where there is one."""


class ThisMachine:
    """The machine that this process runs on. A context: the cores of the thread are restored.

    Args:
        one_core: whether all work is done by the thread that asks, which then may choose a core.
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
    """What is known of a machine's full speed from the probes so far."""

    def __init__(self) -> None:
        self._best: deque[tuple[int, float]] = deque()  # a second, its fastest probe

    @property
    def has_probes(self) -> bool:
        """Whether there has been a probe."""
        return bool(self._best)

    def learn(self, now: float, probe: float) -> None:
        """Take in a probe.

        Args:
            now: seconds of the machine's clock; never less than before.
            probe: seconds that it took.
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
        """Learn from probes alone; they also wake a core that was idle."""
        for _ in range(_CALIBRATION_PROBES):
            self.learn(machine.now(), machine.probe())

    def wait(self, machine: Machine, until: float) -> float:
        """Keep the core busy until it is at full speed, and return the last probe.

        An idle core is given away on a shared host and comes back slow: nothing sleeps here.

        Args:
            machine: to wait for.
            until: of its clock; from then on the first probe is returned, slow or not.
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
    """Return what this process has learned of its machine: it holds for every measurement."""
    return FullSpeed()
