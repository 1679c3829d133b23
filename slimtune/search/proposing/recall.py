"""From a recipe back to the parameters it was drawn from: a lost study is rebuilt by this."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from slimtune.search.proposing.samplers import value_at

_NEAR = 1e-8


class Recall:
    """Stands in for an Optuna trial and answers every draw with what the recipe says.

    A value that the recipe does not say, or that the dimension does not have, is answered with
    one that it has, and not noted down unless it was drawn.

    Args:
        recipe: in its JSON form; ``{stage: {name: value}}`` is the dimension ``stage.name``, or
            ``stage.method.name``.
        fill: draws, once and for all, what the recipe does not say.

    Attributes:
        params: dimension -> value.
        distributions: dimension -> its values as Optuna describes them.
    """

    def __init__(self, recipe: Mapping[str, Any], fill: random.Random | None = None) -> None:
        self._recipe = recipe
        self._fill = fill
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the recipe's value if it is one of ``choices``, else the first of them."""
        said = _plain(self._said(name))
        found = [choice for choice in choices if _plain(choice) == said]
        return self._answer(name, found, CategoricalDistribution(choices))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return the recipe's value if it lies in the range, else ``low``."""
        found = [int(value) for value in self._numbers(name, low, high, step)]
        return int(self._answer(name, found, IntDistribution(low, high, log=log, step=step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the recipe's value if it lies in the range, else ``low``."""
        found = [float(value) for value in self._numbers(name, low, high, step)]
        return float(self._answer(name, found, FloatDistribution(low, high, log=log, step=step)))

    def _numbers(self, name: str, low: float, high: float, step: float | None) -> list[float]:
        """Return the recipe's number, if it has one there and the range has it."""
        value = self._said(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return []
        if not low - _NEAR <= value <= high + _NEAR:
            return []
        if step is None:
            return [min(max(value, low), high)]
        steps = round((value - low) / step)
        near = min(low + steps * step, high)  # a recipe rounds what was drawn; so do floats
        return [near] if abs(near - value) < _NEAR else []

    def _said(self, name: str) -> Any:
        first, _, rest = name.partition(".")
        stage = self._recipe.get(first)
        return stage.get(rest.rpartition(".")[2]) if isinstance(stage, Mapping) else stage

    def _answer(self, name: str, found: Sequence[Any], distribution: BaseDistribution) -> Any:
        if name in self.params:
            return self.params[name]
        if found:
            value = found[0]
        elif self._fill is None:
            return value_at(distribution, 0.0)
        else:
            value = value_at(distribution, self._fill.random())
        self.params[name] = value
        self.distributions[name] = distribution
        return value


def recall(
    recipe: Mapping[str, Any],
    suggest: Callable[[Any], object],
    fill: random.Random | None = None,
) -> Recall:
    """Return the parameters that ``suggest`` would have drawn ``recipe`` from.

    Args:
        recipe: in its JSON form.
        suggest: draws a recipe by ``trial.suggest_*``.
        fill: see `Recall`; for a ``suggest`` that draws more than a recipe holds.
    """
    drawing = Recall(recipe, fill)
    suggest(drawing)
    return drawing


def _plain(value: Any) -> Any:
    """Return the JSON form of a choice."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value
