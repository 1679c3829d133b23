r"""Whether the fast ways to train end where the slow ones do.

    python benchmarks/accuracy.py --data parquet:DIR --weights resnet20.th \
        --teacher-weights resnet56.th [--images 3000] [--seeds 3] [--epochs 3] [--views 8]

A ResNet-20 that has lost a third of its channels is fine-tuned, with and without distillation
from a ResNet-56, on some of CIFAR-10's training images and scored on some of its test images: by
the loop of naive.py, by slimtune in float32 with the teacher in every step, and by slimtune in
bfloat16 with the teacher's answers kept. Prints the accuracy for each seed, and the means.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from measuring import head, one_thread
from naive import train_naively
from torch import nn

from slimtune.compression.distillation import BaseDistillation
from slimtune.compression.network.copies import copied
from slimtune.compression.pipeline import compress
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.compression.training.cached_logits import CachedLogits, without_cache
from slimtune.compression.training.loop import Teaching, network_accuracy, train_network
from slimtune.compression.training.precision import Precision
from slimtune.compression.training.teaching import cached_logits_of
from slimtune.conditions import Conditions
from slimtune.measurement.runtime import observe_ranges
from slimtune.search.trial.process.allocator import keep_freed_memory
from slimtune.workload.checkpoints import load_weights
from slimtune.workload.datasets import load_dataset
from slimtune.workload.splits import split_dataset
from slimtune.workload.types import Architecture, Workload
from slimtune.workload.zoo.build import build


def make_workload(options: argparse.Namespace) -> Workload:
    """Return some of CIFAR-10 with a trained ResNet-20 and a trained ResNet-56."""
    dataset = load_dataset(options.data)
    _, rest, _ = split_dataset(dataset, "train", options.images / len(dataset.train), 0)
    networks = []
    for name, weights in (("resnet20", options.weights), ("resnet56", options.teacher_weights)):
        network = build(Architecture(name, 10, 3))
        load_weights(network, Path(weights))
        networks.append(network.eval())
    return Workload(
        "cifar10", rest, dataset.test.take(np.arange(2)),
        dataset.test.take(np.arange(options.test_images)), dataset.classes, dataset.mean,
        dataset.std, dataset.augmentation, Architecture("resnet20", 10, 3), *networks,
    )  # fmt: skip


def pruned(workload: Workload) -> nn.Module:
    """Return the baseline with about a third of its channels removed."""
    recipe = Recipe.from_dict(
        {"prune": {"method": "l1", "amount": 0.3, "round_to": 4}, "train": {"epochs": 0}}
    )
    return compress(workload, recipe, Conditions(seed=0), observe=observe_ranges).model


def by_us(
    workload: Workload, settings: Train, precision: Precision, taught: bool, views: int
) -> Callable[[nn.Module, int], None]:
    """Return slimtune's training; with ``views``, of one teacher whom all seeds share."""
    cached_logits: CachedLogits | None = None
    if taught and views:
        conditions = Conditions(seed=0, precision=precision, views=views)
        cached_logits = cached_logits_of(workload, conditions, without_cache)
    teacher = None
    if taught and cached_logits is None:
        teacher = copied(
            workload.teacher or workload.baseline, workload.image_shape
        ).requires_grad_(False)

    def run(model: nn.Module, seed: int) -> None:
        train_network(
            model, workload, settings,
            Teaching(BaseDistillation(), teacher, cached_logits) if taught else Teaching(),
            generator=torch.Generator().manual_seed(seed), precision=precision,
        )  # fmt: skip

    return run


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--teacher-weights", required=True)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--only", choices=["both", "plain", "taught"], default="both")
    parser.add_argument("--ways", nargs="+", help="of those printed")
    options = parser.parse_args()
    one_thread()
    keep_freed_memory()
    head("torch")
    workload = make_workload(options)
    student = pruned(workload)
    score = replace(workload, baseline=student)
    click.echo(
        "resnet20 without a third of its channels, "
        f"{len(workload.train)} images, {options.epochs} epochs; "
        f"before: {network_accuracy(student, workload.test, score):.4f}"
    )
    settings = Train(epochs=options.epochs, lr=0.01)
    teacher = copied(workload.teacher or workload.baseline, workload.image_shape)
    for taught in {"both": (False, True), "plain": (False,), "taught": (True,)}[options.only]:
        with_teacher = teacher if taught else None
        ways: dict[str, Callable[[nn.Module, int], None]] = {
            "naive": lambda model, seed, t=with_teacher: train_naively(
                model, workload, settings, teacher=t, seed=seed
            ),
            "float32, teacher online": by_us(workload, settings, "float32", taught, 0),
            "bfloat16, teacher online": by_us(workload, settings, "bfloat16", taught, 0),
            "bfloat16, answers kept": by_us(workload, settings, "bfloat16", taught, options.views),
        }
        if not taught:
            del ways["bfloat16, answers kept"]
        for name, way in ways.items():
            if options.ways and name not in options.ways:
                continue
            found, started = [], time.process_time()
            for seed in range(options.seeds):
                model = copy.deepcopy(student)
                model.requires_grad_(True)
                way(model, seed)
                found.append(network_accuracy(model, workload.test, workload))
            spent = (time.process_time() - started) / options.seeds
            words = " ".join(f"{value:.4f}" for value in found)
            mean = statistics.mean(found)
            click.echo(
                f"{'distilled' if taught else 'fine-tuned'}, {name}: {words}, mean {mean:.4f}, "
                f"{spent:.0f} CPU seconds a seed"
            )


if __name__ == "__main__":
    main()
