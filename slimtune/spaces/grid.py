"""Every recipe of a space, one after another."""

from collections.abc import Sequence
from typing import Any

from slimtune.errors import ConfigError
from slimtune.spaces.space import Space, suggest_recipe

MOST = 20_000
"""Points of a grid: more would take longer to list than anybody waits for."""


def grid_points(space: Space) -> list[dict[str, Any]]:
    """Return the parameters of every recipe of ``space``, the last dimension fastest.

    Dimensions that a choice switches off are not varied, and of points that are one and the
    same pipeline (`Recipe.key`) the first is kept.

    Raises:
        ConfigError: a range without a step, or more than `MOST` points.
    """
    points: dict[str, dict[str, Any]] = {}
    positions: list[int] | None = []
    walked = 0
    while positions is not None:
        walker = _Walker(positions)
        points.setdefault(suggest_recipe(walker, space).key(), walker.params)
        positions = walker.next_positions()
        walked += 1
        if walked > MOST:
            raise ConfigError(
                f"space: a grid may have {MOST} points at most, but this has more; "
                "give fewer values, or use another sampler"
            )
    return list(points.values())


class _Walker:
    """Draws the values at given positions of each dimension, and of later ones the first."""

    def __init__(self, positions: list[int]) -> None:
        self._positions = positions
        self._sizes: list[int] = []
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the choice at this dimension's position."""
        index = len(self._sizes)
        self._sizes.append(len(choices))
        self.params[name] = choices[self._position(index)]
        return self.params[name]

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return the whole number at this dimension's position."""
        return int(self.suggest_categorical(name, range(low, high + 1, step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the number at this dimension's position."""
        if step is None:
            raise ConfigError(
                f"space.{name}: a grid needs a list of values or a step, but got every number "
                f"from {low:g} to {high:g}"
            )
        count = round((high - low) / step) + 1
        values = [min(high, round(low + i * step, 10)) for i in range(count)]  # 0.15 + 7 * 0.1
        return float(self.suggest_categorical(name, values))

    def next_positions(self) -> list[int] | None:
        """Return the positions of the next point, or None after the last."""
        taken = [self._position(index) for index in range(len(self._sizes))]
        while taken and taken[-1] + 1 == self._sizes[len(taken) - 1]:
            taken.pop()
        return [*taken[:-1], taken[-1] + 1] if taken else None

    def _position(self, index: int) -> int:
        return self._positions[index] if index < len(self._positions) else 0
