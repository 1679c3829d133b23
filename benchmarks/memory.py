"""How much memory a worker has to itself, with all of CIFAR-10 at hand, beyond torch.

    python benchmarks/memory.py [--short]

Two workers of a real Ray each look at every image of a data set of CIFAR-10's size (random
pixels: the size is what counts), then train a ResNet-20 for 20 steps on a part of it and export
it. Private memory is that of /proc/self/smaps_rollup (Linux): pages that no other process maps.
It is compared with a process that has built the same network and an optimizer with torch and
nothing else, and after the trial with one that has made 20 plain steps of the same size.
"""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from table import Row, run_script

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.search.executors.ray_tune import run_ray
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload.types import Architecture, Augmentation, Split, Workload
from slimtune.workload.zoo.build import build

TORCH = """
import re, torch
from pathlib import Path
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


def private():
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"Private_(?:Clean|Dirty): +(\\d+)", text)) / 1000


torch.set_num_threads(1)
model = build(Architecture("resnet20", 10, 3)).to(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
before = private()
for _ in range(20):
    optimizer.zero_grad()
    images = torch.randn(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    torch.nn.functional.cross_entropy(model(images), torch.zeros(128).long()).backward()
    optimizer.step()
print(before, private())
"""
RECIPE = Recipe.from_dict({"train": {"epochs": 1, "batch_size": 128}}).to_dict()


def private_megabytes() -> float:
    """Return the memory that this process shares with no other, in MB."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"Private_(?:Clean|Dirty): +(\d+)", text)) / 1000


def split(count: int) -> Split:
    """Return random images of CIFAR-10's size."""
    generator = np.random.default_rng(count)
    images = generator.integers(0, 256, (count, 32, 32, 3), np.uint8)
    return Split(images, generator.integers(0, 10, count))


def workload() -> Workload:
    """Return a workload of CIFAR-10's size."""
    return Workload(
        dataset="random",
        train=split(45_000),
        validation=split(5_000),
        test=split(10_000),
        classes=tuple("0123456789"),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        augmentation=Augmentation(padding=4, flip=True),
        architecture=Architecture("resnet20", 10, 3),
        baseline=build(Architecture("resnet20", 10, 3)).eval(),
    )


def work(shared: Workload, spec: TrialSpec, aids: Aids) -> Outcome:
    """Look at all data, train on a part of it, and say how much memory is private."""
    total = sum(int(s.images.sum()) for s in (shared.train, shared.validation, shared.test))
    resident = private_megabytes()
    part = dataclasses.replace(
        shared, train=Split(shared.train.images[:2560], shared.train.labels[:2560])
    )
    outcome = run_trial(part, dataclasses.replace(spec, recipe=RECIPE), aids)
    assert total and outcome.status == "complete", outcome.reason
    measured = {"resident": resident, "trained": private_megabytes()}
    return Outcome(spec.number, "complete", measured, None, {})


def rows(short: bool) -> Iterator[Row]:
    """Run trials on two workers."""
    torch.set_num_threads(1)
    done = subprocess.run(
        [sys.executable, "-c", TORCH], capture_output=True, text=True, check=True
    )
    alone, trained_alone = map(float, done.stdout.split())
    specs = [TrialSpec(number, {}, Conditions(seed=number)) for number in range(2 if short else 6)]
    outcomes: list[Outcome] = []
    run_ray(
        work,
        workload(),
        lambda: specs.pop() if specs else None,
        outcomes.append,
        concurrency=2,
    )
    found = [outcome.objectives for outcome in outcomes]
    assert all(found), [outcome.reason for outcome in outcomes]
    note = (
        f"torch alone has {alone:.0f} MB of its own, after 20 steps {trained_alone:.0f}; "
        "the data are 184 MB, in Ray's shared memory once"
    )
    what = "private MB of a worker beyond torch"
    resident = tuple(values["resident"] - alone for values in found)
    yield Row(f"{what}, data resident", "-", resident, 100, False, "MB", note)
    trained = tuple(values["trained"] - trained_alone for values in found)
    yield Row(f"{what}, after a trial", "-", trained, 100, False, "MB")


if __name__ == "__main__":
    run_script(__doc__, rows)
