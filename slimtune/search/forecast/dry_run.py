"""The dry run of a search: its size, first recipes and cost; nothing is written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slimtune.compression.recipe import Recipe
from slimtune.search.executors.machines import machines
from slimtune.search.forecast.checks import check_space
from slimtune.search.forecast.estimate import Estimate, Sample, estimate_search
from slimtune.search.forecast.given_weights import check_given_weights
from slimtune.search.listeners.trackers.protocol import check_installed
from slimtune.search.proposing.draws import draw_recipes
from slimtune.search.proposing.twins import Twins
from slimtune.search.settings.config import SearchConfig
from slimtune.search.setup import load_workload
from slimtune.search.trial.scores import check_metrics
from slimtune.spaces.size import Size, space_size
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Workload

FIRST = 5
MOST_DRAWN = 48
"""Most recipes that are drawn to count epochs; each draw takes longer than the one before."""


@dataclass(frozen=True)
class DryRun:
    """The forecast of a search that has not begun.

    Attributes:
        workload: its data and networks.
        size: of its space.
        first: the first recipes, as the search would propose them.
        estimate: of time and disk.
        warnings: that the search would give before it trains.
    """

    workload: Workload
    size: Size
    first: tuple[Recipe, ...]
    estimate: Estimate
    warnings: tuple[str, ...] = ()


def dry_run(
    config: SearchConfig, on_sample: Callable[[Sample], None] = lambda sample: None
) -> DryRun:
    """Check a search as `run_search` does, and forecast what it will do and cost.

    Args:
        config: of the search.
        on_sample: called after each trial that is measured for the estimate.

    Raises:
        UserError: bad input, as of the search itself.
        SlimtuneError: the cluster cannot be reached.
    """
    check_installed(config.log_to)
    with machines(config):
        return _forecast(config, on_sample)


def _forecast(config: SearchConfig, on_sample: Callable[[Sample], None]) -> DryRun:
    warnings: list[str] = []
    workload = load_workload(config, load_dataset(config.data), warnings.append)
    check_metrics(config.objectives, workload.validation.labels, len(workload.classes))
    check_space(config, workload)
    check_given_weights(config, workload, warnings.append)
    recipes = draw_recipes(config, min(config.total_trials(), MOST_DRAWN), Twins(workload).key)
    later = recipes[len(config.points()) :] if config.sampler != "grid" else _spread(recipes)
    return DryRun(
        workload=workload,
        size=space_size(config.resolved_space()),
        first=tuple(Recipe.from_dict(recipe) for recipe in recipes[:FIRST]),
        estimate=estimate_search(config, workload, later or recipes, on_sample=on_sample),
        warnings=tuple(warnings),
    )


def _spread(recipes: list[dict[str, Any]], every: int = 8) -> list[dict[str, Any]]:
    """Return a grid's recipes in an order whose first ones are spread over the whole grid."""
    step = max(1, len(recipes) // every)
    return [recipes[i] for start in range(step) for i in range(start, len(recipes), step)]
