"""A search looked at before it is run: its size, first recipes and cost; nothing is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.study import StudyDirection

from slimtune.compression.recipe import Recipe
from slimtune.results.objectives import parse_objectives
from slimtune.search.checks import check_space
from slimtune.search.config import SearchConfig
from slimtune.search.estimate import Estimate, Measured, estimate_search
from slimtune.search.machines import machines
from slimtune.search.proposals import proposer_of
from slimtune.search.scores import check_metrics
from slimtune.search.setup import load_workload
from slimtune.search.trackers.protocol import check_installed
from slimtune.search.twins import Twins
from slimtune.spaces.size import Size, space_size
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Workload

FIRST = 5
MOST_DRAWN = 48
"""Recipes that are drawn to count epochs; each later draw takes longer, as the study grows."""


@dataclass(frozen=True)
class DryRun:
    """What can be told of a search that has not begun.

    Attributes:
        workload: its data and networks.
        size: of its space.
        first: the first recipes, as the search would propose them.
        estimate: of time and disk.
    """

    workload: Workload
    size: Size
    first: tuple[Recipe, ...]
    estimate: Estimate


def dry_run(
    config: SearchConfig, on_sample: Callable[[Measured], None] = lambda sample: None
) -> DryRun:
    """Check a search as `run_search` would, and say what it will do and cost.

    Args:
        config: of the search.
        on_sample: called after each trial that is measured for the estimate.

    Raises:
        UserError: bad input, as of the search itself.
        SlimtuneError: the cluster cannot be reached.
    """
    check_installed(config.log_to)
    with machines(config):
        return _looked_at(config, on_sample)


def _looked_at(config: SearchConfig, on_sample: Callable[[Measured], None]) -> DryRun:
    workload = load_workload(config, load_dataset(config.data))
    check_metrics(config.objectives, workload.validation.labels, len(workload.classes))
    check_space(config, workload)
    drawn = draw_recipes(config, min(config.total_trials(), MOST_DRAWN), Twins(workload).key)
    later = drawn[len(config.points()) :] if config.sampler != "grid" else _spread(drawn)
    return DryRun(
        workload=workload,
        size=space_size(config.resolved_space()),
        first=tuple(Recipe.from_dict(recipe) for recipe in drawn[:FIRST]),
        estimate=estimate_search(config, workload, later or drawn, on_sample=on_sample),
    )


def draw_recipes(
    config: SearchConfig, count: int, key: Callable[[Mapping[str, Any]], str] | None = None
) -> list[dict[str, Any]]:
    """Return the first recipes of a search, in their JSON form.

    They are those of the search as long as its sampler has no results to look at: of `tpe` the
    first ten, of the others all or a generation. Later ones stand for what it would propose.

    Args:
        config: of the search.
        count: how many, at least 1.
        key: tells which recipes are one and the same, as the search will; see `Twins.key`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [o.direction for o in parse_objectives(config.objectives)]
    study = optuna.create_study(directions=[StudyDirection[d.upper()] for d in directions])
    total = min(count, config.total_trials())
    proposer = proposer_of(config, study, total=total, points=config.points(), key=key)
    recipes = []
    while (spec := proposer.ask()) is not None:
        recipes.append(spec.recipe)
    return recipes


def _spread(recipes: list[dict[str, Any]], every: int = 8) -> list[dict[str, Any]]:
    """Return a grid's recipes in an order whose beginning stands for all: the last vary first."""
    step = max(1, len(recipes) // every)
    return [recipes[i] for start in range(step) for i in range(start, len(recipes), step)]
