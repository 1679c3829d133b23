"""Ratios measured side by side: what the benchmark scripts share."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import click
import torch

from slimtune.measurement.host import describe_host


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each way, round by round; one round before is not counted.

    A machine's speed changes from second to second: only what runs side by side compares. CPU
    seconds, for others may be at work on the same cores; on one thread they are what it takes.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for counted in range(-1, rounds):
        for name, way in ways.items():
            started = time.process_time()
            way()
            if counted >= 0:
                seconds[name].append(time.process_time() - started)
    return seconds


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the ratio of two ways in each round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def head(*packages: str) -> None:
    """Print the host, the versions and the names of the columns."""
    versions = " · ".join(f"{name} {describe_host()[name]}" for name in packages)
    cores = describe_host()["cores"]
    click.echo(f"{describe_host()['cpu']}, {cores} cores · {platform.system()} · {versions}")
    click.echo("what | against | ratio | target | n | spread")


def row(what: str, against: str, values: Sequence[float], target: str = "-") -> None:
    """Print one line: the median, what it should be, and the smallest and largest."""
    spread = f"{min(values):.2f}-{max(values):.2f}"
    middle = statistics.median(values)
    click.echo(f"{what} | {against} | {middle:.2f} | {target} | {len(values)} | {spread}")


def one_thread() -> None:
    """Compute on one thread, as trials do."""
    torch.set_num_threads(1)
