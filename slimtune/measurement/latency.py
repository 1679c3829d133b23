"""Latency on a busy machine: only rounds in which the machine ran at full speed count.

Shared hosts have a slow state that slows models unequally, so neither a mean nor a ratio to a
reference ranks them rightly. A fixed loop of plain Python tells the state; a round between two
slow probes is thrown away, and the fastest run of the others is reported. Under two training
processes this ranked twelve models without an error where the interleaved median did not.
"""

import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from slimtune.measurement.runtime import check_input, open_session, pixels_for, run

PROBE_TOLERANCE = 1.15
"""A round counts when the probes on both sides took at most this times the best probe."""

ENOUGH_ROUNDS = 3
MOST_EXTENSION = 4
_LONGEST = 2.5
_TIMED_RUNS = 4
_best_probe: list[float] = []
"""The fastest probe of this process: a slow spell longer than a call must not look normal."""
_PROBE_STEPS = 20_000


@dataclass(frozen=True)
class Latency:
    """How long one image takes, or one batch of a file that takes no other.

    Attributes:
        ms: fastest run of the accepted rounds, milliseconds.
        rounds: rounds that were run.
        accepted: rounds that counted.
        stable: whether at least 3 counted; otherwise ``ms`` is the fastest run of all.
        threads: threads inside one operator.
        host: name of the machine that measured.
        batch: images a run: 1, but where a file insists on more.
    """

    ms: float
    rounds: int
    accepted: int
    stable: bool
    threads: int
    host: str = ""
    batch: int = 1


@dataclass(frozen=True)
class _Round:
    probes: tuple[int, int]
    fastest: tuple[int, ...]


def measure_latency(
    files: Sequence[Path | bytes],
    *,
    image_shape: tuple[int, int, int],
    threads: int = 1,
    rounds: int = 24,
    seconds: float = 0.0,
    enough: int | None = None,
) -> list[Latency]:
    """Measure files against each other, round-robin, on one image at a time.

    A round runs every file once to warm up and four times by the clock. Rounds are added, up to
    four times ``rounds`` and two and a half times ``seconds``, while fewer than 3 count.

    Args:
        files: what to compare; numbers of one call are comparable, of two calls less so.
        image_shape: (channels, height, width).
        threads: threads inside one operator, at least 1.
        rounds: at least 1.
        seconds: spread the rounds over at least this time, so that a slow spell of the
            machine does not cover them all.
        enough: end as soon as so many rounds count, and wait only after rounds that do not. The
            first call of a process does neither: nothing tells it yet how fast the machine can
            be. None: take all rounds and all the time.

    Raises:
        ModelError: a file cannot be loaded or run.
        DataError: a file takes images of another size.
    """
    prepared = [_prepare(file, image_shape, threads) for file in files]
    done: list[_Round] = []
    accepted: list[_Round] = []
    hurried, begun = enough is not None and bool(_best_probe), time.perf_counter()
    while not (
        (hurried and enough is not None and len(accepted) >= max(enough, ENOUGH_ROUNDS))
        or _is_over(len(done), len(accepted), rounds, seconds, time.perf_counter() - begun)
    ):
        start = time.perf_counter()
        before = _probe()
        fastest = tuple(_fastest(*one) for one in prepared)
        done.append(_Round((before, _probe()), fastest))
        accepted = _accepted(done, _best_of_process(done))
        if not hurried or done[-1] not in accepted[-1:]:
            time.sleep(max(0.0, seconds / rounds - (time.perf_counter() - start)))
    stable = len(accepted) >= ENOUGH_ROUNDS
    counted = accepted if stable else done
    return [
        Latency(
            ms=min(one.fastest[index] for one in counted) / 1e6,
            rounds=len(done),
            accepted=len(accepted),
            stable=stable,
            threads=threads,
            host=platform.node(),
            batch=len(prepared[index][1]),
        )
        for index in range(len(prepared))
    ]


def _is_over(done: int, accepted: int, rounds: int, seconds: float, spent: float) -> bool:
    """Return whether a call has measured all that was asked for, or for too long.

    Args:
        done: rounds.
        accepted: rounds that count.
        rounds: asked for.
        seconds: asked for.
        spent: seconds so far.
    """
    late = done >= MOST_EXTENSION * rounds or spent >= _LONGEST * seconds > 0
    return done >= rounds and (accepted >= ENOUGH_ROUNDS or late)


_Prepared = tuple[onnxruntime.InferenceSession, np.ndarray]


def _prepare(file: Path | bytes, image_shape: tuple[int, int, int], threads: int) -> _Prepared:
    session = open_session(file, threads)
    batch = check_input(session, image_shape, file) or 1
    channels, height, width = image_shape
    noise = np.random.default_rng(0).integers(0, 256, (batch, height, width, channels), np.uint8)
    pixels = pixels_for(session, noise, [0.5] * channels, [0.25] * channels)
    run(session, pixels, file)  # a file that fails must fail here, with its own message
    return session, pixels


def _fastest(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> int:
    """Return the fastest of the timed runs, in nanoseconds."""
    feed = {session.get_inputs()[0].name: pixels}
    session.run(None, feed)
    times = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter_ns()
        session.run(None, feed)
        times.append(time.perf_counter_ns() - start)
    return min(times)


def _probe() -> int:
    """Return how long a fixed amount of plain Python takes now, in nanoseconds."""
    start = time.perf_counter_ns()
    total = 0
    for step in range(_PROBE_STEPS):
        total += step
    return time.perf_counter_ns() - start


def _accepted(rounds: Sequence[_Round], best: float) -> list[_Round]:
    """Return the rounds in which the machine was about as fast as at its ``best`` probe."""
    limit = PROBE_TOLERANCE * best
    return [one for one in rounds if max(one.probes) <= limit]


def _best_of_process(rounds: Sequence[_Round]) -> float:
    """Return the fastest probe that this process has seen, these rounds included."""
    _best_probe[:] = [min([*_best_probe, *(min(one.probes) for one in rounds)], default=math.inf)]
    return _best_probe[0]
