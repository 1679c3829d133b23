"""Builds the proposer of a search from its settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions, Precision
from slimtune.search.proposing.plan import ProposalPlan, never_stop
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.proposing.samplers import FLAT
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.scores import names_of
from slimtune.search.trial.spec import shared_seed
from slimtune.spaces.flat import suggest_flat
from slimtune.spaces.space import suggest_recipe
from slimtune.spaces.start import single_points


def recorded_points(config: SearchConfig, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the points of a grid without twins, or else the start points that a run has recorded.

    A resume with more trials must not compute them anew: there would be more start points, in the
    place of trials that the sampler has proposed. Runs of older versions recorded only how many
    start points there were.

    Args:
        config: of the search.
        manifest: run.json of its run.
    """
    if config.sampler == "grid":
        twins = set(manifest.get("twins", []))
        return [point for at, point in enumerate(config.points()) if at not in twins]
    if "first_points" in manifest:
        return [dict(point) for point in manifest["first_points"]]
    count = int(manifest.get("start_points", 0))
    if config.start == "auto":
        return single_points(config.resolved_space(), count)
    return config.points()[:count]


def proposer_of(
    config: SearchConfig,
    study: optuna.Study,
    *,
    total: int,
    points: Sequence[Mapping[str, Any]],
    why_stop: Callable[[Sequence[FrozenTrial]], str] = never_stop,
    precision: Precision = "float32",
    key: Callable[[Mapping[str, Any]], str] | None = None,
) -> Proposer:
    """Return the proposer of a search.

    Args:
        config: of the search.
        study: to propose from and to write to.
        total: trials that the study holds in the end.
        points: the first recipes, as parameters; each runs with every seed of the settings.
        why_stop: as for `ProposalPlan`.
        precision: of training, decided for the machines that train.
        key: identity of a recipe, see `Twins.key`; `Recipe.key` if not given.

    Raises:
        ConfigError: the study has another number of objectives.
    """
    space = config.resolved_space()
    suggest = suggest_flat if config.sampler in FLAT else suggest_recipe
    repeats = max(1, len(config.seeds))
    plan = ProposalPlan(
        lambda trial: suggest(trial, space).to_dict(),
        total,
        key=key or (lambda recipe: Recipe.from_dict(recipe).key()),
        start=[dict(point) for point in points for _ in range(repeats)],
        seeds=[seed for _ in points for seed in config.seeds],
        sampler=config.sampler,
        why_stop=why_stop,
    )
    return Proposer(
        study,
        plan,
        objectives=list(names_of(config.objectives)),
        conditions=Conditions(
            seed=config.seed,
            threads=config.per_trial.cpus,
            device=config.per_trial.device,
            prefix_seed=shared_seed(config.seed),
            precision=precision,
            views=config.per_trial.teacher_views,
        ),
    )
