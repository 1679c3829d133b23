"""Whether a trial's latency ranks near-tied models rightly beside two training processes.

    python benchmarks/latency.py [--short]

Twelve networks of 17 to 28 equal convolutions, 4 to 6 % apart, are measured as trials are: one at
a time, in random order, at most a second each. Meanwhile two processes train a ResNet-18 on one
thread each. The truth is one long measurement of all together before, while they do not run;
whatever else the machine does then, it does. Kendall's tau is 1 - 2 (pairs in wrong order) / 66.
"""

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from table import Row, run_script
from torch import nn

from slimtune.compression.export.onnx_file import Signature, export_file
from slimtune.measurement.latency import measure_latency
from slimtune.measurement.runtime import observe_ranges
from slimtune.search.trial.trial import ENOUGH_ROUNDS, LATENCY_SECONDS

SHAPE = (3, 32, 32)
TRAIN = """
import os, torch
from torchvision.models import resnet18
torch.set_num_threads(1)
model = resnet18(num_classes=10)
optimizer, parent = torch.optim.SGD(model.parameters(), lr=0.01), os.getppid()
print("ready", flush=True)
while os.getppid() == parent:
    optimizer.zero_grad()
    model(torch.randn(32, 3, 32, 32)).sum().backward()
    optimizer.step()
"""


def network(layers: int) -> bytes:
    """Return the file of a network with so many equal convolutions behind its first."""
    torch.manual_seed(layers)
    body = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()]
    for _ in range(layers):
        body += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    return export_file(
        nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)).eval(),
        Signature(SHAPE, (0.5,) * 3, (0.5,) * 3, tuple("0123456789")),
        calibration=np.zeros((1, 32, 32, 3), np.uint8),
        observe=observe_ranges,
    ).onnx


def tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's rank correlation of two lists without ties."""
    pairs = list(itertools.combinations(range(len(first)), 2))
    signs = [np.sign((first[i] - first[j]) * (second[i] - second[j])) for i, j in pairs]
    return float(np.mean(signs))


@contextmanager
def training(count: int) -> Iterator[None]:
    """Have processes that train within the block."""
    command = [sys.executable, "-c", TRAIN]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep(2)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def one_by_one(files: Sequence[bytes], seed: int) -> tuple[list[float], list[float]]:
    """Measure as trials do; return milliseconds of each file, and seconds it took."""
    ms, seconds = [0.0] * len(files), []
    for index in np.random.default_rng(seed).permutation(len(files)):
        began = time.perf_counter()
        [found] = measure_latency(
            [files[index]], image_shape=SHAPE, seconds=LATENCY_SECONDS, enough=ENOUGH_ROUNDS
        )
        seconds.append(time.perf_counter() - began)
        ms[index] = found.ms
    return ms, seconds


def rows(short: bool) -> Iterator[Row]:
    """Measure once together, then beside training."""
    torch.set_num_threads(1)
    files = [network(layers) for layers in range(16, 28)]
    together = measure_latency(files, image_shape=SHAPE, rounds=60, seconds=8.0)
    truth = [one.ms for one in together]
    found, seconds = [], []
    with training(2):
        for repetition in range(5 if short else 15):
            ms, spent = one_by_one(files, repetition)
            found.append(tau(ms, truth))
            seconds += spent
    gaps = [b / a - 1 for a, b in itertools.pairwise(sorted(truth))]
    note = (
        f"the truth: {together[0].accepted} of {together[0].rounds} rounds counted; neighbours "
        f"{100 * min(gaps):.1f}-{100 * max(gaps):.1f} % apart; mean tau {np.mean(found):.3f}"
    )
    what = "12 near-tied models beside 2 training processes"
    yield Row(f"Kendall tau, {what}", "a long measurement", tuple(found), 0.98, unit="", note=note)
    yield Row("seconds of it a trial", "-", tuple(seconds), 3, least=False, unit="s")


if __name__ == "__main__":
    run_script(__doc__, rows)
