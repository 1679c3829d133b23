"""Hypervolume against epochs: the default engine against others, many seeds.

    python benchmarks/search_quality.py [--problem table] [--seeds 0-9] [--epochs 200]
    python benchmarks/search_quality.py --problem digits --seeds 0-4 --save half.jsonl
    python benchmarks/search_quality.py --show half.jsonl other.jsonl

`table` (the default) looks up real trials: 594 recipes of the demo, carried out once, with
accuracy, size and BOPs at every rung and in the end. `digits` carries out trials of the demo's
own space, some hours for ten seeds. `formula` is a made-up landscape over the default space,
without rungs, so that nothing is stopped there.

Every engine may train for the same number of epochs: 200 are about 40 of the demo's trials. One
that stops trials early begins more of them. A row: mean ± sample standard deviation over the
seeds, in parts of the hypervolume of all that is known of the problem (the table, or what all
these searches found together); then the part of the epochs at which the mean volume of the
default comes to what another engine has in the end.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import optuna
import torch
from problems import DIRECTIONS, OBJECTIVES, PROBLEMS, Problem, epochs_of

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.measurement.host import describe_host
from slimtune.results.objectives import parse_objectives
from slimtune.search.proposing.plan import ProposalPlan
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.proposing.samplers import FLAT
from slimtune.search.trial.attempt import Aids, no_judge
from slimtune.search.trial.spec import Outcome
from slimtune.search.trial.stopping import StoppingRule
from slimtune.spaces.flat import suggest_flat
from slimtune.spaces.space import suggest_recipe
from slimtune.spaces.start import SHARE, single_points

SHARES = (0.25, 0.5, 1.0)
"""Of the budget, at which the volume is printed."""
EPOCHS_OF_A_TRIAL = 5
"""4, and 3 more with apot: the mean in the demo."""


@dataclass(frozen=True)
class Engine:
    """What proposes, from where it starts, and whether it stops trials."""

    sampler: str
    start: bool
    stops: bool


ENGINES = {
    "default": Engine("tpe", start=True, stops=True),
    "default, not stopping": Engine("tpe", start=True, stops=False),
    "tpe": Engine("tpe", start=False, stops=False),
    "nsga2": Engine("nsga2", start=True, stops=False),
    "random": Engine("random", start=False, stops=False),
}


def search(
    problem: Problem, engine: Engine, seed: int, budget: int, told: Callable[[Outcome], None]
) -> None:
    """Run one search until its trials were trained for ``budget`` epochs."""
    suggest = suggest_flat if engine.sampler in FLAT else suggest_recipe
    proposer = Proposer(
        optuna.create_study(directions=DIRECTIONS),
        ProposalPlan(
            lambda trial: suggest(trial, problem.space).to_dict(),
            trials=20 * budget,
            key=lambda recipe: Recipe.from_dict(recipe).key(),
            start=single_points(problem.space, budget // EPOCHS_OF_A_TRIAL // SHARE)
            if engine.start
            else (),
            sampler=engine.sampler,
        ),
        objectives=OBJECTIVES,
        conditions=Conditions(seed=seed),
    )
    rule = StoppingRule(
        parse_objectives(OBJECTIVES), {}, ceiling=problem.ceiling, images=problem.images
    )
    aids = Aids(judge=rule if engine.stops else no_judge)
    epochs = 0
    while epochs < budget and (spec := proposer.ask()) is not None:
        outcome = problem.work(None, spec, aids)
        proposer.tell(outcome)
        rule.learn(outcome.payload)
        epochs += epochs_of(outcome)
        told(outcome)


def curve(problem: Problem, name: str, seed: int, budget: int) -> dict[str, Any]:
    """Return what a search found, in order: the epochs it had cost by then, and the objectives."""
    steps: list[tuple[int, dict[str, float] | None]] = []
    began, spent = time.monotonic(), [0]

    def told(outcome: Outcome) -> None:
        spent[0] += epochs_of(outcome)
        steps.append((spent[0], outcome.objectives if outcome.status == "complete" else None))

    search(problem, ENGINES[name], seed, budget, told)
    seconds = round(time.monotonic() - began, 1)
    return {"engine": name, "seed": seed, "steps": steps, "seconds": seconds}


def volumes(problem: Problem, row: dict[str, Any], budgets: list[float]) -> list[float]:
    """Return the hypervolume that a search had when it had cost so many epochs."""
    kept = [
        [found for epochs, found in row["steps"] if found is not None and epochs <= budget]
        for budget in budgets
    ]
    return [problem.volume(found) for found in kept]


def show(problem: Problem, rows: list[dict[str, Any]], budget: int, best: float) -> None:
    """Print one line an engine."""
    grid = [budget * step / 40 for step in range(1, 41)]
    means: dict[str, np.ndarray] = {}
    heads = "".join(f"{share * budget:>10.0f} epochs " for share in SHARES)
    click.echo(f"{'engine':<24}{heads}  trials  stopped  s/search")
    for name in ENGINES:
        own = [row for row in rows if row["engine"] == name]
        if not own:
            continue
        found = np.array([volumes(problem, row, grid) for row in own]) / best
        means[name] = found.mean(axis=0)
        cells = [found[:, round(share * 40) - 1] for share in SHARES]
        text = "".join(f"{one.mean():8.4f} ± {_spread(one):.4f}" for one in cells)
        begun = np.mean([len(row["steps"]) for row in own])
        stopped = np.mean([sum(step[1] is None for step in row["steps"]) for row in own])
        seconds = np.mean([row["seconds"] for row in own])
        click.echo(f"{name:<24}{text}  {begun:6.1f}  {stopped:7.1f}  {seconds:8.1f}")
    for name, mean in means.items():
        if name != "default" and "default" in means:
            reached = np.flatnonzero(means["default"] >= mean[-1])
            when = f"{grid[reached[0]] / budget:.0%} of" if len(reached) else "not within"
            click.echo(f"default comes to the final volume of '{name}' at {when} the epochs")


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> None:
    """Run the searches, or read what was saved, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", choices=PROBLEMS, default="table")
    parser.add_argument("--seeds", type=_seeds, default=_seeds("0-9"), metavar="FIRST-LAST")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--save", type=Path, help="append each search to this file")
    parser.add_argument("--show", type=Path, nargs="+", help="run nothing; show saved searches")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    problem = PROBLEMS[options.problem]()
    rows = [json.loads(line) for path in options.show or () for line in path.open()]
    for seed in () if options.show else options.seeds:
        for name in options.engines:
            rows.append(curve(problem, name, seed, options.epochs))
            if options.save:
                with options.save.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    host, seeds = describe_host(), len({row["seed"] for row in rows})
    click.echo(
        f"{options.problem} · {seeds} seeds · {options.epochs} epochs · "
        f"{host['cpu']} · optuna {optuna.__version__}"
    )
    show(problem, rows, options.epochs, best(problem, rows))


def best(problem: Problem, rows: list[dict[str, Any]]) -> float:
    """Return the hypervolume of all that is known of a problem."""
    found = [one for row in rows for _, one in row["steps"] if one is not None]
    return problem.volume([*found, *problem.known])


if __name__ == "__main__":
    main()
