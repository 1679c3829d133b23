"""Finds recipes of a grid that keep the same channels as an earlier one, to leave them out."""

from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import FixedTrial

from slimtune.results.units import plural
from slimtune.search.settings.config import SearchConfig
from slimtune.spaces.space import suggest_recipe

MOST_NAMED = 3
"""Pairs that the warning names."""


def grid_twins(
    config: SearchConfig, key: Callable[[Mapping[str, Any]], str]
) -> tuple[list[int], str]:
    """Return the points of a grid that are left out, and a line that says so.

    Args:
        config: of the search; one without a grid has no twins.
        key: identity of a recipe, see `Twins.key`.

    Returns:
        Positions in `SearchConfig.points`, ascending, and the line; both empty if all differ.
    """
    if config.sampler != "grid":
        return [], ""
    space, points = config.resolved_space(), config.points()
    recipes = [suggest_recipe(FixedTrial(point), space) for point in points]
    positions: dict[str, int] = {}
    first = [
        positions.setdefault(key(recipe.to_dict()), position)
        for position, recipe in enumerate(recipes)
    ]
    twins = [position for position, same in enumerate(first) if same != position]
    if not twins:
        return [], ""
    pairs = [f"{recipes[i].describe()} = {recipes[first[i]].describe()}" for i in twins]
    more = f", and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
    return twins, (
        f"{len(twins)} of the grid's {plural(len(points), 'recipe')} "
        f"keep exactly the channels of another one and are left out: "
        f"{'; '.join(pairs[:MOST_NAMED])}{more} (with space.prune.round_to=1 they would differ)"
    )


def grid_trials(config: SearchConfig, manifest: Mapping[str, Any]) -> int:
    """Return how many trials a search has; in a grid, twins do not count.

    Args:
        config: of the search.
        manifest: run.json of its run.
    """
    twins = manifest.get("twins", [])
    if config.sampler != "grid" or not twins:
        return config.total_trials()
    remaining = (len(config.points()) - len(twins)) * max(1, len(config.seeds))
    return min(config.total_trials(), remaining)
