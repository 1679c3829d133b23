"""A whole search of the default space on digits, with and without what saves work.

    python benchmarks/whole_search.py [--trials 60] [--seeds 1] [--model resnet8x2]

The same trials proposed, two at a time on Ray, twice: as a search is, and with no stage kept, a
new process for every trial and no trial stopped early. Each in a process of its own, in turns.
What counts is wall time from the first trial's start to the last one's end (the baseline's
training is the same in both), at a hypervolume that is no smaller.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from table import Row, host, text

from slimtune.search.executors import ray_tune as ray_executor
from slimtune.search.listeners.events import Event, TrialFinished, TrialStarted
from slimtune.search.session import run_search
from slimtune.search.settings.config import make_config

SETTINGS = {
    "data": "digits",
    "validation": {"fraction": 0.3},
    "baseline": {"epochs": 20, "lr": 0.1, "batch_size": 64},
    "space": {"train": {"epochs": 4, "batch_size": 64}},
    "concurrency": 2,
}
PLAIN = {"stage_store": "0", "stopping": False}


def search(settings: dict[str, Any], plain: bool) -> dict[str, float]:
    """Search in this process; return seconds, hypervolume and how many trials were stopped."""
    torch.set_num_threads(1)
    if plain:
        tune = ray_executor.tune
        tune.TuneConfig = partial(_without_reuse, tune.TuneConfig)
    times: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, TrialStarted | TrialFinished):
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = run_search(make_config(settings), Path(folder) / "run", listen)
        whole = time.perf_counter() - began
        table = run.trials()
        return {
            "trials": times[-1] - times[0],
            "whole": whole,
            "hypervolume": run.hypervolume_share(),
            "stopped": float((table["status"] == "stopped").sum()),
        }


def _without_reuse(make: Any, **options: Any) -> Any:
    return make(**{**options, "reuse_actors": False})


def compare(settings: dict[str, Any], seeds: int) -> Iterator[Row]:
    """Search both ways with each seed, in turns."""
    ratios, shares, notes = [], [], []
    for seed in range(seeds):
        found = {}
        for plain in (seed % 2 == 0, seed % 2 == 1):
            changed = {**settings, **(PLAIN if plain else {}), "seed": seed}
            command = [sys.executable, __file__, "--one", json.dumps(changed)]
            command += ["--plain"] if plain else []
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[plain] = json.loads(done.stdout.splitlines()[-1])
        fast, slow = found[False], found[True]
        ratios.append(slow["trials"] / fast["trials"])
        shares.append(fast["hypervolume"] / slow["hypervolume"])
        notes.append(
            f"{fast['trials']:.0f} against {slow['trials']:.0f} s of trials, {fast['whole']:.0f} "
            f"against {slow['whole']:.0f} s in all, {fast['stopped']:.0f} stopped"
        )
    what = f"{settings['trials']} trials, {settings['model']} on digits"
    against = "no stage reuse, worker reuse, stopping"
    yield Row(what, against, tuple(ratios), 2.5, note="; ".join(notes))
    yield Row(f"hypervolume of it, {what}", against, tuple(shares), 0.99)


def rows(short: bool) -> Iterator[Row]:
    """Compare with a network that trains in seconds."""
    yield from compare({**SETTINGS, "model": "resnet8x2", "trials": 12 if short else 60}, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--model", default="resnet8x2")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        click.echo(json.dumps(search(json.loads(options.one), options.plain)))
        return
    settings = {**SETTINGS, "model": options.model, "trials": options.trials}
    click.echo(host())
    click.echo(text(compare(settings, options.seeds)))


if __name__ == "__main__":
    main()
