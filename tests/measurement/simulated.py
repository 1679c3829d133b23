"""A machine whose clock and speed are handed in: what must hold on all of them is tried here."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Slowdown = Callable[[float, int], float]
"""How much slower than at full speed the machine is at a time, on a core."""


def at_full_speed(_now: float, _core: int) -> float:
    return 1.0


@dataclass
class SimulatedMachine:
    """Seconds pass as work is done, more of them while the machine is slow.

    Attributes:
        slowdown: by time and core.
        wide: how much slower the clock is for a millisecond after a network has run.
        preempted: share of probes and runs that another process interrupts for three milliseconds.
    """

    slowdown: Slowdown = at_full_speed
    wide: float = 1.0
    preempted: float = 0.0
    cores: int = 1
    probe_seconds: float = 0.8e-3
    time: float = 100.0
    core: int = 0
    lowered_until: float = 0.0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(0)

    def now(self) -> float:
        return self.time

    def probe(self) -> float:
        lowered = self.wide if self.time < self.lowered_until else 1.0
        return self._take(self.probe_seconds * lowered)

    def change_core(self) -> None:
        self.core = (self.core + 1) % self.cores

    def network(self, seconds: float) -> Callable[[], float]:
        """Return a round of a network: once to warm up, four runs by the clock, the fastest."""

        def time() -> float:
            times = [self._take(seconds) for _ in range(5)]
            self.lowered_until = self.time + 1e-3
            return min(times[1:])

        return time

    def _take(self, seconds: float) -> float:
        taken = seconds * self.slowdown(self.time, self.core)
        taken += 3e-3 * (self.random.random() < self.preempted)
        self.time += taken
        return taken
