"""Training on a GPU: slimtune's loop against the usual one, and four trials on one device.

    python benchmarks/gpu.py [--images 20000] [--rounds 5] [--models resnet20 resnet18]

Needs a CUDA device, and says so where there is none. slimtune's loop has the images on the device
as uint8, augments them there, and computes in bfloat16, channels last; the usual one feeds one
image at a time from DataLoader processes, float32. Seconds are wall-clock, to the end of the
device's work.
"""

import argparse
import copy
import os
import sys
import time
from collections.abc import Callable

import click
import torch
from measuring import head, ratios, row
from naive import train_naively
from side_by_side import Trials
from training import make_workload, our_epoch

from slimtune.compression.stages import Train
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

DEVICE = "cuda:0"
NO_GPU = (
    "benchmarks/gpu.py: needs a CUDA device, but torch "
    f"{torch.__version__} sees none in this process; nothing was measured"
)


def seconds(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the wall-clock seconds of each way by round; one round before is not counted."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for counted in range(-1, rounds):
        for name, way in ways.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            way()
            torch.cuda.synchronize()
            if counted >= 0:
                found[name].append(time.perf_counter() - started)
    return found


def loops(model: str, images: int, rounds: int) -> None:
    """Print the rows of one network."""
    workload = make_workload(images, None, model)
    naive = build(Architecture(model, 10, 3)).to(DEVICE)
    feeders = min(8, os.cpu_count() or 1)
    ours = copy.deepcopy(workload.baseline).to(DEVICE)
    found = seconds(
        {
            "naive": lambda: train_naively(
                naive, workload, Train(epochs=1), device=DEVICE, processes=feeders
            ),
            "float32": our_epoch(copy.deepcopy(ours), workload, "float32"),
            "bfloat16": our_epoch(ours, workload, "bfloat16"),
        },
        rounds,
    )
    for name in ("float32", "bfloat16"):
        row(f"{model}, {name}, resident images", f"naive loop, {feeders} feeders",
            ratios(found["naive"], found[name]))  # fmt: skip
    rates = {name: images / min(each) for name, each in found.items()}
    click.echo("images a second: " + ", ".join(f"{n} {rate:,.0f}" for n, rate in rates.items()))


def packed(images: int, rounds: int) -> None:
    """Print what four trials at once on one device gain, as with per_trial.gpus=0.25."""
    trials = Trials(4, images, 1, DEVICE)
    alone, together = [], []
    for _ in range(rounds):
        alone.append(trials.seconds(at_once=False))
        together.append(trials.seconds(at_once=True))
    trials.end()
    row("four resnet20 trials at once on one GPU", "in sequence", ratios(alone, together))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["resnet20", "resnet18"])
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(NO_GPU)
    head("torch")
    click.echo(torch.cuda.get_device_name(DEVICE))
    for model in options.models:
        loops(model, options.images, options.rounds)
    packed(options.images, max(1, options.rounds // 2))


if __name__ == "__main__":
    main()
