"""Whether `slimtune search --dry-run` foresees how long a search takes.

    python benchmarks/dry_run.py [--data digits] [--model resnet8x2] [--trials 12] [--weights FILE]

The estimate, then the search itself with the same settings, on this machine, one after another;
the ratio of the two is what counts. CIFAR-10: --data parquet:DIR --model resnet20 --weights FILE.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch
from table import Row, host, text

from slimtune.search.forecast.dry_run import dry_run
from slimtune.search.session import run_search
from slimtune.search.settings.config import make_config

DIGITS = {
    "model": "resnet8x2",
    "data": "digits",
    "validation": {"fraction": 0.3},
    "baseline": {"epochs": 20, "lr": 0.1, "batch_size": 64},
    "space": {"train": {"epochs": 4, "batch_size": 64}},
    "trials": 12,
}


def compare(settings: dict[str, Any], repetitions: int = 1) -> Row:
    """Estimate and search; return the seconds foreseen as a share of those it took."""
    shares, notes = [], []
    for seed in range(repetitions):
        config = make_config({**settings, "seed": seed})
        foreseen = dry_run(config).estimate.search
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            run_search(config, Path(folder) / "run")
            took = time.perf_counter() - began
        shares.append(max(foreseen, took) / min(foreseen, took))
        notes.append(f"foreseen {foreseen:.0f} s, took {took:.0f} s")
    what = f"--dry-run: the larger by the smaller, {settings['data']}"
    trials = f"{settings['trials']} trials"
    return Row(what, trials, tuple(shares), 1.3, least=False, note="; ".join(notes))


def rows(short: bool) -> Iterator[Row]:
    """Compare on digits; CIFAR-10 is for the command line."""
    torch.set_num_threads(1)
    yield compare(DIGITS, 1 if short else 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=DIGITS["data"])
    parser.add_argument("--model", default=DIGITS["model"])
    parser.add_argument("--weights")
    parser.add_argument("--trials", type=int, default=DIGITS["trials"])
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings: dict[str, Any] = {**DIGITS, "trials": options.trials, "model": options.model}
    settings["space"] = {"train": {"epochs": options.epochs, "batch_size": 64}}
    if options.data != DIGITS["data"]:
        settings |= {"data": options.data, "weights": options.weights}
        del settings["validation"]
        settings["space"]["train"]["batch_size"] = 128
    click.echo(host())
    click.echo(text([row := compare(settings)]))
    sys.exit(0 if row.met else 1)


if __name__ == "__main__":
    main()
