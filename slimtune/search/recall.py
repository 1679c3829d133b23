"""From a recipe back to the parameters it was drawn from: a lost study is rebuilt by this."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

_NEAR = 1e-8


class Recall:
    """Stands in for an Optuna trial and answers every draw with what the recipe says.

    A value that the recipe does not say, or that the dimension does not have, is answered with
    one that it has, and not noted down.

    Args:
        recipe: in its JSON form; ``{stage: {name: value}}`` is the dimension ``stage.name``, or
            ``stage.method.name``.

    Attributes:
        params: dimension -> value.
        distributions: dimension -> its values as Optuna describes them.
    """

    def __init__(self, recipe: Mapping[str, Any]) -> None:
        self._recipe = recipe
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the recipe's value if it is one of ``choices``, else the first of them."""
        value = self._said(name)
        found = next((choice for choice in choices if _plain(choice) == _plain(value)), None)
        if found is None and value is not None:
            return choices[0]
        return self._note(name, found, CategoricalDistribution(choices))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return the recipe's value if it lies in the range, else ``low``."""
        value = self._number(name, low, high, step)
        if value is None:
            return low
        return int(self._note(name, int(value), IntDistribution(low, high, log=log, step=step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the recipe's value if it lies in the range, else ``low``."""
        value = self._number(name, low, high, step)
        if value is None:
            return low
        distribution = FloatDistribution(low, high, log=log, step=step)
        return float(self._note(name, float(value), distribution))

    def _number(self, name: str, low: float, high: float, step: float | None) -> float | None:
        value = self._said(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        if not low - _NEAR <= value <= high + _NEAR:
            return None
        if step is None:
            return min(max(value, low), high)
        steps = round((value - low) / step)
        near = low + steps * step  # a recipe rounds what was drawn
        return near if abs(near - value) < _NEAR else None

    def _said(self, name: str) -> Any:
        first, _, rest = name.partition(".")
        stage = self._recipe.get(first)
        return stage.get(rest.rpartition(".")[2]) if isinstance(stage, Mapping) else stage

    def _note(self, name: str, value: Any, distribution: BaseDistribution) -> Any:
        self.params[name] = value
        self.distributions[name] = distribution
        return value


def recall(recipe: Mapping[str, Any], suggest: Callable[[Any], object]) -> Recall:
    """Return the parameters that ``suggest`` would have drawn ``recipe`` from.

    Args:
        recipe: in its JSON form.
        suggest: draws a recipe by ``trial.suggest_*``.
    """
    drawing = Recall(recipe)
    suggest(drawing)
    return drawing


def _plain(value: Any) -> Any:
    """Return the JSON form of a choice."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value
