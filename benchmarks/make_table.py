"""Carry out every recipe of the tabulated problem and write benchmarks/digits_table.jsonl.gz.

    python benchmarks/make_table.py [--part 0/2] [-o PART.jsonl.gz]
    python benchmarks/make_table.py --join PART.jsonl.gz PART.jsonl.gz

About half an hour on one core. A part takes every so-manieth recipe, for several processes.
"""

import argparse
import gzip
import json
from itertools import chain
from pathlib import Path
from typing import Any

import click
import torch
from optuna.trial import FixedTrial
from problems import TABLE, TABULATED, Problem, to_tabulate

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.spec import Outcome, TrialSpec, trial_seed
from slimtune.spaces.grid import grid_points
from slimtune.spaces.space import suggest_recipe


def rows(problem: Problem, recipes: list[Recipe], part: int, parts: int) -> Any:
    """Yield one row a recipe."""
    for number, recipe in enumerate(recipes):
        if number % parts != part:
            continue
        rungs: list[dict[str, Any]] = []

        def note(outcome: Outcome, rungs: list[dict[str, Any]] = rungs) -> str:
            metrics = outcome.payload.metrics
            rungs.append(
                {
                    "name": outcome.rung,
                    "epochs": metrics["epochs"],
                    "certain": metrics["structure_certain"],
                    "values": outcome.payload.rungs[outcome.rung],
                }
            )
            return ""

        spec = TrialSpec(number, recipe.to_dict(), Conditions(trial_seed(0, number)))
        outcome = problem.work(None, spec, Aids(judge=note))
        click.echo(f"{number} {outcome.payload.pipeline} {outcome.objectives} {outcome.reason}")
        yield {"key": recipe.key(), "objectives": outcome.objectives, "rungs": rungs}


def write(path: Path, lines: Any) -> None:
    """Write JSON lines, the same bytes for the same lines."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        for line in lines:
            packed.write(json.dumps(line).encode() + b"\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a part."""
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    """Write the table, or a part of it, or join parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--join", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=TABLE)
    options = parser.parse_args()
    if options.join:
        parts = [read(path) for path in options.join]
        found = sorted(chain(*(part[1:] for part in parts)), key=lambda row: row["key"])
        write(options.out, [parts[0][0], *found])
        return
    torch.set_num_threads(1)
    part, parts = (int(word) for word in options.part.split("/"))
    problem = to_tabulate()
    space = SearchConfig.model_validate(TABULATED).resolved_space()
    recipes = [suggest_recipe(FixedTrial(point), space) for point in grid_points(space)]
    write(
        options.out,
        chain([{"baseline": problem.baseline}], rows(problem, recipes, part, parts)),
    )


if __name__ == "__main__":
    main()
