"""Draws recipes of a space without a run: the first ones of a search, or samples for a check."""

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.study import StudyDirection

from slimtune.errors import ConfigError
from slimtune.results.objectives import parse_objectives
from slimtune.search.proposing.proposals import proposer_of
from slimtune.search.settings.config import SearchConfig
from slimtune.spaces.space import Space, suggest_recipe

DRAWS = 50
"""Recipes that are drawn to check that the space holds no invalid one."""


def draw_recipes(
    config: SearchConfig, count: int, key: Callable[[Mapping[str, Any]], str] | None = None
) -> list[dict[str, Any]]:
    """Return the first recipes of a search, in their JSON form.

    They are exactly those of the search while its sampler does not use results yet: the first ten
    of `tpe`, the first generation of `nsga2` and `nsga3`, all of the others. Later ones are only
    examples of what the search would propose.

    Args:
        config: of the search.
        count: how many, at least 1.
        key: identity of a recipe, as in the search; see `Twins.key`.
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


def check_draws(space: Space) -> None:
    """Draw some recipes of a space.

    Raises:
        ConfigError: one contradicts itself.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(DRAWS):
        try:
            suggest_recipe(study.ask(), space)
        except ConfigError as error:
            raise ConfigError(f"space.{error}") from None
