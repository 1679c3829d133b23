"""Finds the parameters from which a recipe was drawn, to rebuild a lost study."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from slimtune.search.proposing.samplers import value_at
from slimtune.spaces.answers import Answers
from slimtune.spaces.domains import Choice, Domain

_NEAR = 1e-8


class Parameters(Answers):
    """Answers every draw with the value in a recipe.

    If the recipe has no value for a dimension, or one that the dimension does not contain, the
    answer is some value of the dimension. It is recorded only if ``fill`` has drawn it.

    Args:
        recipe: in its JSON form; ``{stage: {name: value}}`` is the dimension ``stage.name``, or
            ``stage.method.name``.
        fill: draws the values that the recipe does not have, one for each dimension.

    Attributes:
        params: dimension -> value.
        distributions: dimension -> its values as Optuna describes them.
    """

    def __init__(self, recipe: Mapping[str, Any], fill: random.Random | None = None) -> None:
        super().__init__()
        self._recipe = recipe
        self._fill = fill
        self.distributions: dict[str, BaseDistribution] = {}

    def answer(self, name: str, domain: Domain) -> Any:
        """Return the recipe's value if the dimension contains it, else another of its values."""
        if name in self.params:
            return self.params[name]
        distribution = _distribution(domain)
        fitting = self._fitting(name, domain)
        if fitting:
            value = fitting[0]
        elif self._fill is None:
            return value_at(distribution, 0.0)
        else:
            value = value_at(distribution, self._fill.random())
        self.params[name] = value
        self.distributions[name] = distribution
        return value

    def _fitting(self, name: str, domain: Domain) -> list[Any]:
        """Return the recipe's value as the dimension has it; empty if it does not contain it."""
        value = self._in_recipe(name)
        if isinstance(domain, Choice):
            return [choice for choice in domain.values if _plain(choice) == _plain(value)]
        if not isinstance(value, int | float) or isinstance(value, bool):
            return []
        low, high, step = domain.low, domain.high, domain.step or (1 if domain.whole else None)
        if not low - _NEAR <= value <= high + _NEAR:
            return []
        near = min(max(value, low), high)
        if step is not None:  # a recipe rounds what was drawn; so do floats
            near = min(low + round((value - low) / step) * step, high)
            if abs(near - value) >= _NEAR:
                return []
        return [int(near) if domain.whole else float(near)]

    def _in_recipe(self, name: str) -> Any:
        first, _, rest = name.partition(".")
        stage = self._recipe.get(first)
        return stage.get(rest.rpartition(".")[2]) if isinstance(stage, Mapping) else stage


def parameters_of(
    recipe: Mapping[str, Any],
    suggest: Callable[[Any], object],
    fill: random.Random | None = None,
) -> Parameters:
    """Return the parameters that ``suggest`` would have drawn ``recipe`` from.

    Args:
        recipe: in its JSON form.
        suggest: draws a recipe by ``trial.suggest_*``.
        fill: see `Parameters`; for a ``suggest`` that draws more than a recipe holds.
    """
    parameters = Parameters(recipe, fill)
    suggest(parameters)
    return parameters


def _distribution(domain: Domain) -> BaseDistribution:
    """Return a dimension as Optuna describes it."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if domain.whole:
        step = int(domain.step or 1)
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=step)
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def _plain(value: Any) -> Any:
    """Return the JSON form of a choice."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value
