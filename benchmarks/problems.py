"""What a search engine is tried on: a formula, a table of real trials, and real trials."""

import dataclasses
import gzip
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from slimtune.compression.recipe import Recipe
from slimtune.compression.rungs import total_epochs
from slimtune.conditions import Conditions
from slimtune.measurement.latency import measure_latency
from slimtune.results.objectives import Direction
from slimtune.results.pareto.front import hypervolume
from slimtune.results.store.record import TrialRecord
from slimtune.search.settings.config import SearchConfig
from slimtune.search.setup import load_workload, train_missing
from slimtune.search.trial.attempt import Aids, Work
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.stopping import ACCURACY_MARGIN
from slimtune.search.trial.trial import run_trial
from slimtune.spaces.presets import PRESETS
from slimtune.spaces.space import Space, suggest_recipe
from slimtune.workload.datasets import load_dataset

TABLE = Path(__file__).with_name("digits_table.jsonl.gz")
COSTS = ("size_bytes", "bops")
OBJECTIVES = ("accuracy", *COSTS)
DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize", "minimize")
WORST = (0.5, 0.0, 0.0)
"""Accuracy, and the logarithms of the costs as parts of the baseline's, that count for nothing."""


@dataclass(frozen=True)
class Problem:
    """A space, and what its recipes come to.

    Attributes:
        space: from which recipes are drawn.
        work: the body of a trial.
        baseline: its accuracy and its costs, by objective.
        known: objectives of recipes that are known beforehand.
        images: of the validation split; the demo's.
    """

    space: Space
    work: Work
    baseline: dict[str, float]
    known: tuple[dict[str, float], ...] = ()
    images: int = 378

    @property
    def ceiling(self) -> float:
        """The accuracy that no trial is expected to beat."""
        return min(1.0, self.baseline["accuracy"] + ACCURACY_MARGIN)

    def volume(self, found: list[dict[str, float]]) -> float:
        """Return the hypervolume of what was measured, costs in decimal orders of magnitude."""
        points = [
            (one["accuracy"], *(math.log10(one[cost] / self.baseline[cost]) for cost in COSTS))
            for one in found
        ]
        return hypervolume(np.array(points).reshape(-1, 3), WORST, DIRECTIONS)


def epochs_of(outcome: Outcome) -> int:
    """Return the epochs that a trial was trained for, of all its stages."""
    if outcome.status == "complete":
        return total_epochs(Recipe.from_dict(outcome.payload.recipe).effective())
    return int(outcome.payload.metrics.get("epochs", 0))


# --- a formula --------------------------------------------------------------------------------

HARM = {"l1": 1.0, "fpgm": 0.9, "group_norm": 0.8, "taylor": 0.7}
BITS = {"none": (32, 0.0, 1.0), "int8_static": (8, 0.002, 0.25)}
HELP = {"none": 1.0, "base": 0.75, "dkd": 0.7, "attention": 0.85}


def formula() -> Problem:
    """Return a formula over the default space, with what makes the real one hard.

    What counts depends on the methods, pruning and few bits harm each other, and training can
    undo some of it. Its trials have no rungs.
    """
    space = Space.restricted({})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest_recipe(study.ask(), space).to_dict() for _ in range(5000)]
    known = tuple(
        _by_formula(None, TrialSpec(0, recipe, Conditions(0)), Aids()).objectives
        for recipe in drawn
    )
    return Problem(space, _by_formula, {"accuracy": 0.98, "size_bytes": 1e6, "bops": 1e9}, known)


def _by_formula(_shared: None, spec: TrialSpec, _aids: Aids) -> Outcome:
    recipe = spec.recipe
    prune, quantize = recipe["prune"], recipe["quantize"]
    amount, bits = prune.get("amount", 0.0), quantize.get("bits", 8)
    width, loss, work = BITS.get(quantize["method"], (bits, 0.08 / bits, bits / 128))
    noise = zlib.crc32(Recipe.from_dict(recipe).key().encode()) / 2**32 * 0.004
    values = {
        "accuracy": 0.98 - 0.5 * _harm(recipe, amount) - loss * (1 + amount) - noise,
        "size_bytes": 1e6 * ((1 - amount) ** 1.8 * width / 32 + 0.004),
        "bops": 1e9 * (0.02 + 0.98 * (1 - amount)) * work,
    }
    return _outcome(spec, values)


def _harm(recipe: dict[str, Any], amount: float) -> float:
    prune, distill = recipe["prune"], recipe["distill"]
    harm = HARM.get(prune["method"], 0.0) * amount**3
    harm *= 0.9 if prune.get("scope") == "global" and amount < 0.5 else 1.0
    share = HELP[distill["method"]]
    if distill["method"] == "base":
        share += 0.02 * abs(distill["temperature"] - 4) + 0.2 * abs(distill["alpha"] - 0.7)
    if recipe["train"]["epochs"] > 0:
        off = abs(math.log(recipe["train"]["lr"] / 0.02)) / math.log(10)
        harm = share * harm + 0.02 * off**2 * (1 + amount)
    return harm


def _outcome(spec: TrialSpec, values: dict[str, float]) -> Outcome:
    words = Recipe.from_dict(spec.recipe).describe()
    record = TrialRecord(
        number=spec.number,
        status="complete",
        recipe=spec.recipe,
        pipeline=words,
        conditions=spec.conditions,
        objectives=values,
    )
    return Outcome(spec.number, "complete", values, record)


# --- trials of the demo -----------------------------------------------------------------------


@cache
def digits() -> Problem:
    """Return the demo itself: a ResNet on digits, every trial carried out."""
    return _real(PRESETS["demo"])


def _real(settings: dict[str, Any]) -> Problem:
    config = SearchConfig.model_validate({**settings, "objectives": OBJECTIVES})
    workload = load_workload(config, load_dataset(config.data))
    train_missing(workload, config, lambda what, epoch: None)

    def work(_shared: None, spec: TrialSpec, aids: Aids) -> Outcome:
        aids = dataclasses.replace(aids, measure_latency=_quickly)
        return run_trial(workload, spec, aids, objectives=OBJECTIVES)

    untouched = Recipe.from_dict({"train": {"epochs": 0}}).to_dict()
    baseline = dict(
        work(None, TrialSpec(-1, untouched, Conditions(config.seed)), Aids()).objectives
    )
    return Problem(config.resolved_space(), work, baseline)


def _quickly(files: Any, *, image_shape: Any, **_how: Any) -> Any:
    """Measure a latency that nobody asks for: it differs between two runs of a benchmark."""
    return measure_latency(files, image_shape=image_shape, rounds=1)


# --- a table of such trials -------------------------------------------------------------------

TABULATED: dict[str, Any] = {
    **PRESETS["demo"],
    "space": {
        "prune": {
            "method": ["none", "l1", "fpgm", "group_norm", "taylor"],
            "amount": {"low": 0.15, "high": 0.85, "step": 0.1},
            "scope": "local",
        },
        "quantize": {"method": ["none", "int8_static", "gpfq", "apot"], "bits": [4, 3]},
        "distill": {"method": ["none", "base", "dkd"], "alpha": 0.9, "temperature": 4,
                    "rest_weight": 2.0},
        "train": {"epochs": 4, "batch_size": 64, "lr": 0.05},
    },
}  # fmt: skip
"""594 recipes; `make_table.py` carries all of them out."""


def to_tabulate() -> Problem:
    """Return the problem whose trials fill the table."""
    return _real(TABULATED)


def table(path: Path = TABLE) -> Problem:
    """Return the tabulated problem: what every recipe came to, at each rung and in the end."""
    with gzip.open(path, "rt") as lines:
        first, *rest = (json.loads(line) for line in lines)
    rows = {row["key"]: row for row in rest}
    space = SearchConfig.model_validate(TABULATED).resolved_space()
    known = tuple(row["objectives"] for row in rest)
    return Problem(space, partial(_look_up, rows), first["baseline"], known)


def _look_up(
    rows: dict[str, dict[str, Any]], _shared: None, spec: TrialSpec, aids: Aids
) -> Outcome:
    row = rows[Recipe.from_dict(spec.recipe).key()]
    done = _outcome(spec, row["objectives"])
    seen: dict[str, dict[str, float]] = {}
    for rung in row["rungs"]:
        seen[rung["name"]] = rung["values"]
        known = {name: rung["values"][name] for name in OBJECTIVES if name in rung["values"]}
        record = dataclasses.replace(
            done.payload,
            status="stopped",
            objectives=known,
            metrics={"epochs": rung["epochs"], "structure_certain": rung["certain"]},
            rungs=dict(seen),
        )
        here = Outcome(spec.number, "stopped", known, record, rung=rung["name"])
        if aids.judge(here):
            return here
    return dataclasses.replace(done, payload=dataclasses.replace(done.payload, rungs=seen))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "formula": formula,
    "table": table,
    "digits": digits,
}
