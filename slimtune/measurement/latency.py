"""Latency on a busy machine: only rounds in which the machine ran at full speed count.

A shared host has slow spells that slow some models more than others, so neither a mean nor a ratio
to a reference model ranks them correctly. A probe, a fixed loop of plain Python, shows how fast
the machine is. A round begins when the probe is at full speed, and it counts if the probe right
after it is at full speed too. The fastest run of the rounds that count is reported. With two
training processes running, this ranked twelve models correctly and the interleaved median did not.

The probe after a round is compared with other probes after rounds: on many Intel processors, wide
vector instructions lower the clock for a millisecond, so it is always slower than the one before.
"""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnxruntime

from slimtune.measurement.runtime import check_input, open_session, pixels_for, run
from slimtune.measurement.speed import (
    PROBE_TOLERANCE,
    FullSpeed,
    Machine,
    ThisMachine,
    speed_of_this_process,
)

ENOUGH_ROUNDS = 3
MOST_EXTENSION = 4
_LONGEST = 2.5
_SOON = 0.25
"""Seconds after which a call with ``enough`` ends with `ENOUGH_ROUNDS`, for slow networks."""
_TIMED_RUNS = 4
WIDE_VECTORS = 1.5
"""The largest factor by which a network's clock can slow the probe right after it."""


@dataclass(frozen=True)
class Latency:
    """How long one image takes, or one batch if the file has a fixed batch size.

    Attributes:
        ms: fastest run of the accepted rounds, milliseconds.
        rounds: rounds that were run.
        accepted: rounds that counted.
        stable: whether at least 3 counted; otherwise ``ms`` is the fastest run of all.
        threads: threads inside one operator.
        host: name of the machine that measured.
        batch: images per run: 1, unless the file has a fixed batch size.
        probe_ms: duration of the probe at full speed, milliseconds.
        probe_after_ms: its shortest duration right after a round, which is longer if the network
            lowers the clock.
    """

    ms: float
    rounds: int
    accepted: int
    stable: bool
    threads: int
    host: str = ""
    batch: int = 1
    probe_ms: float = 0.0
    probe_after_ms: float = 0.0


@dataclass(frozen=True)
class TimingPlan:
    """How long to measure; see `measure_latency`."""

    rounds: int = 24
    seconds: float = 0.0
    enough: int | None = None
    most_seconds: float | None = None

    @property
    def longest(self) -> float:
        """Seconds after which a call ends, whatever it has."""
        return self.most_seconds or _LONGEST * self.seconds or 1.0


def measure_latency(
    files: Sequence[Path | bytes],
    *,
    image_shape: tuple[int, int, int],
    threads: int = 1,
    rounds: int = 24,
    seconds: float = 0.0,
    enough: int | None = None,
    most_seconds: float | None = None,
) -> list[Latency]:
    """Measure files against each other, round-robin, on one image at a time.

    A round runs a file once to warm up and four times by the clock. It begins once the machine
    is at full speed. While a file has fewer than 3 rounds that count, rounds are added, up to
    four times ``rounds`` and for ``most_seconds``.

    Args:
        files: the files to compare; latencies of one call are comparable, those of two less so.
        image_shape: (channels, height, width).
        threads: threads inside one operator, at least 1.
        rounds: rounds of each file, at least 1.
        seconds: continue for at least this time, so that a slow spell of the machine does not
            cover all rounds.
        enough: end as soon as this many rounds of each file count, or 3 after a quarter of a
            second. The first call of a process ignores it, because it does not know yet how fast
            the machine can be. None: run all rounds for all the time.
        most_seconds: end after this time, but for a large network not before six rounds.
            Default: 2.5 times ``seconds``, or one second.

    Raises:
        ModelError: a file cannot be loaded or run.
        DataError: a file takes images of another size.
    """
    prepared = [_prepare(file, image_shape, threads) for file in files]
    plan = TimingPlan(rounds, seconds, enough, most_seconds)
    with ThisMachine(one_core=threads == 1) as machine:
        timed = time_in_turn(
            [one.time for one in prepared], plan, machine, speed_of_this_process()
        )
    return [
        Latency(
            ms=1e3 * found.seconds,
            rounds=len(found.rounds),
            accepted=found.accepted,
            stable=found.stable,
            threads=threads,
            host=platform.node(),
            batch=len(one.pixels),
            probe_ms=1e3 * found.speed.reference(),
            probe_after_ms=1e3 * found.best_after,
        )
        for one, found in zip(prepared, timed, strict=True)
    ]


@dataclass(frozen=True)
class Round:
    """One round of one file, in seconds: the probes before and after, and the fastest run."""

    before: float
    after: float
    fastest: float


@dataclass
class FileTimings:
    """All rounds of one file, judged by the machine's full speed as it is known now."""

    speed: FullSpeed
    rounds: list[Round] = field(default_factory=list)

    @property
    def best_after(self) -> float:
        """The fastest probe right after a round."""
        return min(one.after for one in self.rounds)

    @property
    def accepted_rounds(self) -> list[Round]:
        """The rounds that began and ended at full speed."""
        if not self.rounds:
            return []
        full = self.speed.reference()
        before = PROBE_TOLERANCE * full
        after = PROBE_TOLERANCE * min(max(full, self.best_after), WIDE_VECTORS * full)
        return [one for one in self.rounds if one.before <= before and one.after <= after]

    @property
    def accepted(self) -> int:
        """How many rounds count."""
        return len(self.accepted_rounds)

    @property
    def stable(self) -> bool:
        """Whether enough rounds count to believe the fastest run."""
        return self.accepted >= ENOUGH_ROUNDS

    @property
    def seconds(self) -> float:
        """The fastest run of the rounds that count, or of all if too few do."""
        return min(one.fastest for one in (self.accepted_rounds if self.stable else self.rounds))


def time_in_turn(
    runs: Sequence[Callable[[], float]], plan: TimingPlan, machine: Machine, speed: FullSpeed
) -> list[FileTimings]:
    """Time functions in turn, round by round, as long as the plan says.

    Args:
        runs: each runs a file a few times and returns the seconds of the fastest.
        plan: how long to measure.
        machine: its clock and probe.
        speed: the machine's full speed, which learns from every probe.
    """
    if not speed.has_probes:
        plan = replace(plan, enough=None)  # full speed may show only later
        speed.calibrate(machine)
    begun = machine.now()
    found = [FileTimings(speed) for _ in runs]
    passes = 0
    while not _is_over(found, plan, passes, machine.now() - begun):
        for work, timed in zip(runs, found, strict=True):
            before = speed.wait(machine, begun + plan.longest)
            if timed.rounds and not speed.reached(before):
                continue  # the time is over
            fastest = work()
            timed.rounds.append(Round(before, machine.probe(), fastest))
        passes += 1
    return found


def _is_over(found: Sequence[FileTimings], plan: TimingPlan, passes: int, spent: float) -> bool:
    """Return whether a call has measured enough, or for too long."""
    if not passes:
        return not found
    fewest = min(timed.accepted for timed in found)
    if plan.enough is not None and fewest >= ENOUGH_ROUNDS:
        return fewest >= plan.enough or spent >= _SOON
    if passes >= plan.rounds and spent >= plan.seconds and fewest >= ENOUGH_ROUNDS:
        return True
    if spent >= plan.longest:  # a large network may have had fewer than three rounds
        return fewest >= ENOUGH_ROUNDS or passes >= 2 * ENOUGH_ROUNDS
    return not plan.seconds and passes >= MOST_EXTENSION * plan.rounds


@dataclass(frozen=True)
class _Prepared:
    session: onnxruntime.InferenceSession
    pixels: np.ndarray

    def time(self) -> float:
        """Return the seconds of the fastest of the timed runs."""
        feed = {self.session.get_inputs()[0].name: self.pixels}
        self.session.run(None, feed)
        times = []
        for _ in range(_TIMED_RUNS):
            start = time.perf_counter()
            self.session.run(None, feed)
            times.append(time.perf_counter() - start)
        return min(times)


def _prepare(file: Path | bytes, image_shape: tuple[int, int, int], threads: int) -> _Prepared:
    session = open_session(file, threads)
    batch = check_input(session, image_shape, file) or 1
    channels, height, width = image_shape
    noise = np.random.default_rng(0).integers(0, 256, (batch, height, width, channels), np.uint8)
    pixels = pixels_for(session, noise, [0.5] * channels, [0.25] * channels)
    run(session, pixels, file)  # a file that fails must fail here, with its own message
    return _Prepared(session, pixels)
