"""Measures how steady latencies are on this host, and whether int8 is faster than float."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slimtune.measurement.latency import Latency, measure_latency
from slimtune.results.units import percent, times
from slimtune.search.forecast.small_trials import few_images, small_trial
from slimtune.workload.types import Workload

REPEATS = 5
_SECONDS = 0.4


@dataclass(frozen=True)
class Steadiness:
    """Repeated latencies of the float file, and of the int8 file in turn with it.

    Attributes:
        latencies: of the float file.
        int8: of the int8 file, in the same calls; empty if there is none.
    """

    latencies: Sequence[Latency]
    int8: Sequence[Latency] = ()

    @property
    def ms(self) -> float:
        """The shortest latency of the float file, milliseconds."""
        return min(latency.ms for latency in self.latencies)

    @property
    def stable(self) -> bool:
        """Whether any latency of the float file is stable."""
        return any(latency.stable for latency in self.latencies)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts for a checkup's ``host``.

        ``int8_speed`` is how many times faster the int8 file is: the median over the stable
        repeats. ``int8_spread`` is the range of these, as a share of it. None if unknown.
        """
        times = [latency.ms for latency in self.latencies]
        rounds = sum(latency.rounds for latency in self.latencies)
        pairs = zip(self.latencies, self.int8, strict=False)
        speeds = [a.ms / b.ms for a, b in pairs if a.stable and b.stable]
        speed = statistics.median(speeds) if speeds else None
        return {
            "latency_accepted_share": sum(one.accepted for one in self.latencies) / rounds,
            "latency_spread": (max(times) - min(times)) / min(times),
            "latency_repeats": len(times),
            "int8_speed": speed,
            "int8_spread": (max(speeds) - min(speeds)) / speed if speed else None,
        }


def steadiness(workload: Workload, onnx: bytes) -> Steadiness:
    """Measure the network's float file, and its int8 file in turn with it if it can be made.

    Args:
        workload: data and network.
        onnx: its float file.
    """
    files = [onnx]
    try:
        int8 = {"quantize": {"method": "int8_static"}}
        files.append(small_trial(few_images(workload), int8).onnx)
    except Exception:  # there is no int8 file; a finding of the doctor says why
        pass
    measured = [
        measure_latency(files, image_shape=workload.image_shape, rounds=8, seconds=_SECONDS)
        for _ in range(REPEATS)
    ]
    return Steadiness([one[0] for one in measured], [one[1] for one in measured if one[1:]])


def words(host: dict[str, Any]) -> list[str]:
    """Return a line on the noise, and one on int8 if its speed is known.

    Args:
        host: with what `Steadiness.to_dict` returns.
    """
    lines = [
        f"{percent(host['latency_accepted_share'])} of the rounds were quiet; "
        f"{host['latency_repeats']} measurements of one file lie within "
        f"{percent(host['latency_spread'])}"
    ]
    if speed := host.get("int8_speed"):
        spread = host["int8_spread"]
        within = f"float32 here (within {percent(spread)})"
        text = f"{times(speed)} as fast as {within}"
        if speed < 1 - spread:
            text = (
                f"{times(1 / speed)} SLOWER than {within}: int8 makes "
                "this network's file smaller, not faster"
            )
        lines.append(f"int8 is {text}")
    return lines
