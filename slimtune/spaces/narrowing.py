"""The values of a dimension that fit a method, and the order in which dimensions are drawn."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slimtune.compression.pruning import PRUNING
from slimtune.compression.recipe import DURING_TRAINING, Recipe
from slimtune.errors import ConfigError
from slimtune.spaces.domains import Choice, Domain, Drawing

_UNFIT = {"scope": ("stage",), "schedule": DURING_TRAINING}  # of methods that remove weights


def in_order(row: Mapping[str, Domain]) -> list[tuple[str, Domain]]:
    """Return a stage's dimensions, the schedule first if it decides which others there are."""
    deciding = "schedule" in row and "per_epoch" in row["schedule"].ends()
    return sorted(row.items(), key=lambda item: deciding and item[0] != "schedule")


def narrowed(domain: Domain, stage: str, name: str, method: str) -> Domain:
    """Return ``domain`` without the values that do not fit ``method``.

    Raises:
        ConfigError: none fits.
    """
    if not isinstance(domain, Choice) or stage != "prune" or method == "none":
        return domain
    unfit = _UNFIT.get(name, ()) if PRUNING[method].removes == "weights" else ()
    values = tuple(value for value in domain.values if value not in unfit)
    if not values:
        raise ConfigError(
            f"space.prune.{name}: {method} removes single weights, which does not work with "
            f"{domain.values[0]}; add another value, or leave the method out"
        )
    return Choice(values)


def removes_weights(method: str) -> bool:
    """Return whether a pruning method takes single weights and no channels."""
    return method != "none" and PRUNING[method].removes == "weights"


def recalibrated(trial: Drawing, recipe: Recipe, domain: Domain) -> Recipe:
    """Return a recipe with ``train.recalibrate`` drawn, if the values make a difference to it.

    Where nothing is trained, to leave it unset and to switch it on are the same. A network whose
    weights nobody changes keeps its statistics, whatever the space says.

    Args:
        trial: asked for ``train.recalibrate`` at most.
        recipe: with everything else drawn.
        domain: the values.
    """
    changed = recipe.prune is not None or recipe.quantize.bits <= 8
    sparse = 0 if recipe.prune is None else recipe.prune.method.sparsity_epochs
    trained = recipe.epochs + sparse > 0
    if not trained and (not changed or set(domain.ends()) == {None, True}):
        return recipe
    value: Any = domain.suggest(trial, "train.recalibrate")
    if value == recipe.train.recalibrate:
        return recipe
    return replace(recipe, train=replace(recipe.train, recalibrate=value))
