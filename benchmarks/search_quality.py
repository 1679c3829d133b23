"""Hypervolume against the number of trials: the default sampler against others, many seeds.

    python benchmarks/search_quality.py [--seeds 10] [--trials 40 100] [--samplers tpe nsga2]

The problem is a formula over the default search space, with what makes the real one hard: what
counts depends on the methods, pruning and few bits harm each other, and training can undo some of
it. A trial takes no time, so that a hundred searches do. Hypervolume is that of accuracy against
the logarithms of size and latency, in parts of the best front among 20,000 recipes drawn evenly.
"""

import argparse
import math
import platform
import statistics
import time
import zlib
from typing import Any

import click
import numpy as np
import optuna

from slimtune.compression.recipe import Recipe
from slimtune.measurement.host import describe_host
from slimtune.results.front import hypervolume
from slimtune.search.proposer import Proposer
from slimtune.search.samplers import FLAT
from slimtune.search.spec import Outcome, TrialSpec
from slimtune.spaces.flat import suggest_flat
from slimtune.spaces.space import Space, suggest_recipe
from slimtune.spaces.start import SHARE, single_points

OBJECTIVES = ("accuracy", "log_size", "log_latency")
DIRECTIONS = ("maximize", "minimize", "minimize")
REFERENCE = (0.5, 0.0, 0.1)
HARM = {"l1": 1.0, "fpgm": 0.9, "group_norm": 0.8, "taylor": 0.7}
BITS = {"none": (32, 0.0, 1.0), "int8_static": (8, 0.002, 0.6)}
HELP = {"none": 1.0, "base": 0.75, "dkd": 0.7, "attention": 0.85}
SAMPLERS = ("tpe", "random", "nsga2", "nsga3", "qmc")
SPACE = Space.restricted({})


def measured(recipe: dict[str, Any]) -> tuple[float, float, float]:
    """Return accuracy, and size and latency as decimal logarithms of the baseline's share."""
    prune, quantize, distill = recipe["prune"], recipe["quantize"], recipe["distill"]
    amount = prune.get("amount", 0.0)
    method = quantize["method"]
    learned = (quantize.get("bits", 8), 0.08 / quantize.get("bits", 8), 0.6)
    bits, loss, speed = BITS.get(method, learned)
    harm = HARM.get(prune["method"], 0.0) * amount**3
    harm *= 0.9 if prune.get("scope") == "global" and amount < 0.5 else 1.0
    help_ = HELP[distill["method"]]
    if distill["method"] == "base":
        help_ += 0.02 * abs(distill["temperature"] - 4) + 0.2 * abs(distill["alpha"] - 0.7)
    if recipe["train"]["epochs"] > 0:
        off = abs(math.log(recipe["train"]["lr"] / 0.02)) / math.log(10)
        harm = help_ * harm + 0.02 * off**2 * (1 + amount)
    noise = zlib.crc32(Recipe.from_dict(recipe).key().encode()) / 2**32 * 0.004
    accuracy = 0.98 - 0.5 * harm - loss * (1 + amount) - noise
    size = (1 - amount) ** 1.8 * bits / 32 + 0.004
    latency = (0.15 + 0.85 * (1 - amount)) * speed
    return accuracy, math.log10(size), math.log10(latency)


def search(sampler: str, seed: int, trials: int, begin: bool) -> list[tuple[float, float, float]]:
    """Return what a search of so many trials measured, in order."""
    suggest = suggest_flat if sampler in FLAT else suggest_recipe
    proposer = Proposer(
        optuna.create_study(directions=DIRECTIONS),
        lambda trial: suggest(trial, SPACE).to_dict(),
        objectives=OBJECTIVES,
        trials=trials,
        seed=seed,
        key=lambda recipe: Recipe.from_dict(recipe).key(),
        start=single_points(SPACE, trials // SHARE) if begin else (),
        sampler=sampler,
    )
    values = []
    while (spec := proposer.ask()) is not None:
        values.append(_told(proposer, spec))
    return values


def _told(proposer: Proposer, spec: TrialSpec) -> tuple[float, float, float]:
    values = measured(spec.recipe)
    objectives = dict(zip(OBJECTIVES, values, strict=True))
    proposer.tell(Outcome(spec.number, "complete", objectives))
    return values


def best_volume() -> float:
    """Return the hypervolume of very many recipes."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [measured(suggest_recipe(study.ask(), SPACE).to_dict()) for _ in range(20_000)]
    return volume(drawn)


def volume(values: list[tuple[float, float, float]]) -> float:
    """Return the hypervolume of what was measured."""
    return hypervolume(np.array(values), REFERENCE, DIRECTIONS)


def main() -> None:
    """Run all searches and print one row a sampler."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, nargs="+", default=[40, 100])
    parser.add_argument(
        "--samplers", nargs="+", default=["tpe", "random", "nsga2", "nsga3", "qmc"]
    )
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    host = describe_host()
    cpu = host.get("cpu", platform.processor())
    seeds = f"{options.seeds} seeds, mean ± sample standard deviation"
    click.echo(f"{cpu} · optuna {optuna.__version__} · {seeds}")
    best = best_volume()
    heads = "".join(f"{count:>8} trials   " for count in options.trials)
    click.echo(f"{'sampler':<18}{heads}  s/search")
    for sampler in options.samplers:
        for begin in (True, False) if sampler in ("tpe", "random", "nsga2") else (False,):
            _row(sampler, begin, options.seeds, options.trials, best)


def _row(sampler: str, begin: bool, seeds: int, trials: list[int], best: float) -> None:
    started, cells = time.monotonic(), []
    for count in trials:  # each on its own: how many start points there are depends on it
        shares = [
            hypervolume(np.array(search(sampler, seed, count, begin)), REFERENCE, DIRECTIONS)
            / best
            for seed in range(seeds)
        ]
        cells.append(f"{statistics.mean(shares):.4f} ± {statistics.stdev(shares):.4f}")
    spent = (time.monotonic() - started) / seeds / len(trials)
    name = f"{sampler} + start" if begin else sampler
    click.echo(
        f"{name:<18}" + "  ".join(f"{cell:>15}" for cell in cells) + f"  {spent:8.1f}", flush=True
    )


if __name__ == "__main__":
    main()
