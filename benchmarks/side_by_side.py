"""Two one-thread trainings on two cores, against one after another.

    python benchmarks/side_by_side.py [--epochs 3] [--images 512] [--rounds 2]

Each training is a process of its own, as a trial is. Needs two idle cores: what else runs on them
is part of the result.
"""

import argparse
import copy
import multiprocessing
import time
from typing import Any

from measuring import head, one_thread, ratios, row
from training import make_workload, our_epoch

from slimtune.compression.training.precision import decide
from slimtune.search.trial.process.allocator import keep_freed_memory


def trial(images: int, epochs: int, device: str, ready: Any, go: Any, done: Any) -> None:
    """Train, when told to, and say when it is done."""
    one_thread()
    keep_freed_memory()
    workload = make_workload(images, None)
    precision = decide("auto", device, workload.image_shape)
    epoch = our_epoch(copy.deepcopy(workload.baseline).to(device), workload, precision)
    epoch()
    while True:
        ready.put(True)
        if not go.get():
            return
        for _ in range(epochs):
            epoch()
        done.put(True)


class Trials:
    """Some processes that train when they are told to.

    Args:
        count: how many.
        images: an epoch.
        epochs: of one training.
        device: of all of them.
    """

    def __init__(self, count: int, images: int, epochs: int, device: str = "cpu") -> None:
        spawn = multiprocessing.get_context("spawn")
        self._ready, self._done = spawn.Queue(), spawn.Queue()
        self._go = [spawn.Queue() for _ in range(count)]
        self._processes = [
            spawn.Process(target=trial, args=(images, epochs, device, self._ready, go, self._done))
            for go in self._go
        ]
        for process in self._processes:
            process.start()

    def seconds(self, at_once: bool) -> float:
        """Return how long all trainings take."""
        for _ in self._go:
            self._ready.get()
        started = time.perf_counter()
        for go in self._go:
            go.put(True)
            if not at_once:
                self._done.get()
        for _ in self._go if at_once else ():
            self._done.get()
        return time.perf_counter() - started

    def end(self) -> None:
        """Let the processes end."""
        for go in self._go:
            go.put(False)
        for process in self._processes:
            process.join()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    head("torch")
    trials = Trials(2, options.images, options.epochs)
    alone, together = [], []
    for _ in range(options.rounds):
        alone.append(trials.seconds(at_once=False))
        together.append(trials.seconds(at_once=True))
    trials.end()
    row("two trials at once, one thread each", "one after another", ratios(alone, together),
        ">= 1.8")  # fmt: skip


if __name__ == "__main__":
    main()
