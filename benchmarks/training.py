"""What a trial's training costs, against the usual ways to do the same.

    python benchmarks/training.py [--rounds 5] [--images 256] [--data parquet:DIR]

Each ratio is the median over rounds in which all ways run one after another, on one thread,
in CPU seconds of the process, in all rows with the memory that is freed kept.
Without ``--data`` the images are noise, which trains nothing but takes as long.

- fine-tuning: `train_network` against the loop of naive.py, images a second;
- distillation: the same under a ResNet-56; the teacher's answers are known already, as they are
  to all trials of a run but the first, and in the next row they are not;
- QAT step: a step with fake quantizers of 4 bits over the same step without;
- freed memory kept: CPU seconds of an epoch in a fresh process, against one as glibc has it;
- share of peak: operations a second of a ResNet-18's training over those of the best convolution.
"""

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Callable

import click
import numpy as np
import torch
from measuring import head, interleaved, one_thread, ratios, row
from naive import train_naively
from torch import nn

from slimtune.compression.distillation import BaseDistillation
from slimtune.compression.network.copies import copied
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.stages import Train
from slimtune.compression.training.cached_logits import without_cache
from slimtune.compression.training.loop import Teaching, train_network
from slimtune.compression.training.precision import Precision, decide
from slimtune.compression.training.teaching import cached_logits_of
from slimtune.conditions import Conditions
from slimtune.measurement.cost import count_cost
from slimtune.search.trial.process.allocator import keep_freed_memory
from slimtune.workload.augment import normalise
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Architecture, Augmentation, Split, Workload
from slimtune.workload.zoo.build import build

CONVOLUTIONS = ((64, 128, 16, 3), (64, 256, 8, 3), (32, 256, 16, 3), (64, 512, 8, 3))
"""Batch, channels, size and kernel of what may be a core's best convolution."""


def make_workload(images: int, data: str | None, baseline: str = "resnet20") -> Workload:
    """Return a workload of ``images`` training images like CIFAR-10's, with untrained networks."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, images)
    train = Split(rng.integers(0, 256, (images, 32, 32, 3), np.uint8), labels)
    if data is not None:
        train = load_dataset(data).train.take(np.arange(images))
    few = train.take(np.arange(2))
    return Workload(
        "cifar10", train, few, few, tuple("abcdefghij"),
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), Augmentation(4, True),
        Architecture(baseline, 10, 3), network(baseline), teacher=network("resnet56"),
    )  # fmt: skip


def network(name: str) -> nn.Module:
    """Return an untrained network, laid out as the baseline of a trial."""
    torch.manual_seed(0)
    return copied(build(Architecture(name, 10, 3)), (3, 32, 32))


def our_epoch(
    model: nn.Module, workload: Workload, precision: Precision, **more: object
) -> Callable[[], object]:
    """Return one epoch of slimtune's training."""
    return lambda: train_network(
        model, workload, Train(epochs=1), Teaching(**more),
        generator=torch.Generator().manual_seed(0), precision=precision,
    )  # fmt: skip


def naive_epoch(workload: Workload, taught: bool = False) -> Callable[[], object]:
    """Return one epoch of the usual training: contiguous weights, float32."""
    student, teacher = (
        build(Architecture(name, 10, 3)) for name in (workload.architecture.name, "resnet56")
    )
    return lambda: train_naively(
        student, workload, Train(epochs=1), teacher=teacher.eval() if taught else None
    )


def fine_tuning(workload: Workload, precision: Precision, rounds: int) -> None:
    """Print the rows of plain training."""
    student = copy.deepcopy(workload.baseline)
    seconds = interleaved(
        {
            "naive": naive_epoch(workload),
            "float32": our_epoch(copy.deepcopy(student), workload, "float32"),
            "ours": our_epoch(student, workload, precision),
        },
        rounds,
    )
    naive, ours = seconds["naive"], seconds["ours"]
    row(f"fine-tuning resnet20, {precision}", "naive loop", ratios(naive, ours), ">= 2.5")
    row("- of which in float32", "naive loop", ratios(naive, seconds["float32"]))


def distillation(workload: Workload, precision: Precision, rounds: int) -> None:
    """Print the rows of training under a teacher."""
    base = {"distiller": BaseDistillation()}
    conditions = Conditions(seed=0, precision=precision, views=1)
    known = cached_logits_of(workload, conditions, without_cache)

    def first() -> object:
        asked = cached_logits_of(workload, conditions, without_cache)
        return our_epoch(workload.baseline, workload, precision, cached_logits=asked, **base)()

    teacher = copied(workload.teacher or workload.baseline, workload.image_shape).requires_grad_(
        False
    )
    seconds = interleaved(
        {
            "naive": naive_epoch(workload, taught=True),
            "known": our_epoch(
                workload.baseline, workload, precision, cached_logits=known, **base
            ),
            "first": first,
            "online": our_epoch(workload.baseline, workload, precision, teacher=teacher, **base),
        },
        rounds,
    )
    naive = seconds["naive"]
    row(
        f"distilling resnet56 into resnet20, {precision}, answers known",
        "naive loop, online teacher",
        ratios(naive, seconds["known"]),
        ">= 4",
    )
    row("- the first trial of a run", "the same", ratios(naive, seconds["first"]))
    row("- with the teacher online (per_trial.teacher_views=0)", "the same",
        ratios(naive, seconds["online"]))  # fmt: skip


def quantization(workload: Workload, precisions: tuple[Precision, ...], rounds: int) -> None:
    """Print the cost of a step with fake quantizers."""
    images = normalise(torch.from_numpy(workload.train.images[:64]), workload.mean, workload.std)
    for precision in precisions:
        ways = {"float": our_epoch(copy.deepcopy(workload.baseline), workload, precision)}
        for name in ("apot", "lsq"):
            quantizer = QUANTIZATION[name](bits=4, activation_bits=4, epochs=1)
            model = quantizer.prepare(copy.deepcopy(workload.baseline), images)
            ways[name] = our_epoch(model, workload, precision)
        seconds = interleaved(ways, rounds)
        for name in ("apot", "lsq"):
            row(
                f"QAT step, {name} 4/4, {precision}",
                f"step without fake quantizers, {precision}",
                ratios(seconds[name], seconds["float"]),
                "<= 1.3",
            )


def allocator(rounds: int) -> None:
    """Print what it brings that worker processes keep the memory that they free."""
    spent: dict[str, list[float]] = {"default": [], "kept": []}
    for _ in range(rounds):
        for mode, seconds in spent.items():
            command = [sys.executable, __file__, "--allocator", mode]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds.append(float(done.stdout))
    gained = ratios(spent["default"], spent["kept"])
    row("freed memory kept by workers", "the same epoch with glibc's settings", gained)


def third_epoch(workload: Workload, precision: Precision) -> float:
    """Return the CPU seconds of an epoch in a process that has trained for two."""
    epoch = our_epoch(workload.baseline, workload, precision)
    for _ in range(3):
        started = time.process_time()
        epoch()
    return time.process_time() - started


def share_of_peak(images: int, rounds: int) -> None:
    """Print how much of the core's best bfloat16 convolution the training of a ResNet-18 uses."""
    workload = make_workload(images, None, "resnet18")
    forward = 2 * count_cost(workload.baseline, workload.image_shape).macs * images
    ways = {"train": our_epoch(copy.deepcopy(workload.baseline), workload, "bfloat16")}
    ways |= {str(shape): convolution(*shape) for shape in CONVOLUTIONS}
    seconds = interleaved(ways, rounds)
    best = [
        max(operations(*shape) / seconds[str(shape)][i] for shape in CONVOLUTIONS)
        for i in range(rounds)
    ]
    used = [3 * forward / each for each in seconds["train"]]  # backward is two such products
    peak = f"best convolution, {max(best) / 1e9:.0f} GFLOP/s"
    row("share of peak, resnet18 bfloat16 training", peak, ratios(used, best), ">= 0.6")


def convolution(batch: int, channels: int, size: int, kernel: int) -> Callable[[], object]:
    """Return some forward passes of one convolution in bfloat16."""
    layer = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False).bfloat16()
    layer = layer.to(memory_format=torch.channels_last)
    images = torch.randn(batch, channels, size, size).bfloat16()
    images = images.to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.no_grad():
            for _ in range(REPEATS):
                layer(images)

    return run


REPEATS = 8


def operations(batch: int, channels: int, size: int, kernel: int) -> float:
    """Return the floating-point operations of `convolution`."""
    return 2.0 * REPEATS * batch * channels * channels * size * size * kernel * kernel


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--data")
    parser.add_argument("--only", choices=list(PARTS), nargs="+", default=list(PARTS))
    parser.add_argument("--allocator", choices=["default", "kept"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    one_thread()
    started = time.monotonic()
    workload = make_workload(options.images, options.data)
    precision = decide("auto", "cpu", workload.image_shape)
    if options.allocator != "default":
        keep_freed_memory()
    if options.allocator:
        click.echo(third_epoch(workload, precision))
        return
    head("torch")
    for part in options.only:
        PARTS[part](workload, precision, options)
    click.echo(f"({time.monotonic() - started:.0f} s)")


PARTS: dict[str, Callable[[Workload, Precision, argparse.Namespace], None]] = {
    "fine-tuning": lambda w, p, o: fine_tuning(w, p, o.rounds),
    "distillation": lambda w, p, o: distillation(w, p, o.rounds),
    "quantization": lambda w, p, o: quantization(
        w, tuple(dict.fromkeys(("float32", p))), o.rounds
    ),
    "allocator": lambda w, p, o: allocator(min(o.rounds, 2)),
    "peak": lambda w, p, o: share_of_peak(min(o.images, 64), o.rounds),
}

if __name__ == "__main__":
    main()
