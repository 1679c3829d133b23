"""How many recipes a space has, counted without listing them all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slimtune.errors import ConfigError
from slimtune.spaces.space import Space, suggest_recipe

MOST = 4000
"""Combinations of choices that are looked at: some seconds."""


@dataclass(frozen=True)
class Size:
    """How large a space is.

    Attributes:
        recipes: how many differ (`Recipe.key`), with every continuous dimension held fixed.
        continuous: names of the dimensions that may be any number of a range.
        whole: whether all combinations were looked at; otherwise there are more than that.
    """

    recipes: int
    continuous: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        """Return the size in words."""
        count = f"{'' if self.whole else 'more than '}{self.recipes:,} recipes"
        if not self.continuous:
            return count
        return f"continuous in {', '.join(self.continuous)}; besides, {count}"


def space_size(space: Space, most: int = MOST) -> Size:
    """Count the recipes of a space.

    Choices between words decide which other dimensions there are, and so do numbers that may be
    0: their combinations are walked one by one. The values of every other dimension that makes
    a difference there are multiplied.

    Args:
        space: what to count.
        most: combinations that are looked at.
    """
    seen: set[str] = set()
    continuous: dict[str, None] = {}
    recipes = walked = 0
    positions: list[int] | None = []
    while positions is not None and walked < most:
        walker = _Walker(positions)
        positions, key, walked = _next(walker, space), walker.key, walked + 1
        if key is None or key in seen:
            continue
        seen.add(key)
        count = 1
        for name, values in walker.free.items():
            if _key(_Walker(walker.taken, {name: values[-1]}), space) == key:
                continue  # set, but of no effect here
            if name in walker.endless:
                continuous[name] = None
            else:
                count *= len(values)
        recipes += count
    return Size(recipes, tuple(continuous), positions is None)


class _Walker:
    """Takes given positions of the walked dimensions, and the first value of all others.

    Args:
        positions: of the walked dimensions, in the order in which they are drawn.
        fixed: other values for single dimensions.
    """

    def __init__(self, positions: Sequence[int], fixed: dict[str, Any] | None = None) -> None:
        self._positions = list(positions)
        self._fixed = fixed or {}
        self._sizes: list[int] = []
        self.free: dict[str, Sequence[Any]] = {}
        self.endless: set[str] = set()
        self.key: str | None = None

    @property
    def taken(self) -> list[int]:
        """The position of each walked dimension."""
        return [self._position(index) for index in range(len(self._sizes))]

    def following(self) -> list[int] | None:
        """Return the positions of the next combination, or None after the last."""
        taken = self.taken
        while taken and taken[-1] + 1 == self._sizes[len(taken) - 1]:
            taken.pop()
        return [*taken[:-1], taken[-1] + 1] if taken else None

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the choice at its position; what decides about no other dimension is free."""
        if not _is_free(choices):
            self._sizes.append(len(choices))
            return choices[self._position(len(self._sizes) - 1)]
        return self._one_of(name, choices)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return the first whole number, or walk them if 0 is one of them."""
        return int(self.suggest_categorical(name, range(low, high + 1, step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the lowest number; without a step, note that there is no end of them."""
        if step is None:
            self.free[name] = (low, high)
            self.endless.add(name)
            return float(self._fixed.get(name, low if low > 0 else (low + high) / 2))
        count = round((high - low) / step) + 1
        return float(self.suggest_categorical(name, [low + i * step for i in range(count)]))

    def _one_of(self, name: str, choices: Sequence[Any]) -> Any:
        self.free[name] = choices
        return self._fixed.get(name, choices[0])

    def _position(self, index: int) -> int:
        return self._positions[index] if index < len(self._positions) else 0


def _is_free(choices: Sequence[Any]) -> bool:
    """Return whether choices decide about no other dimension: numbers but 0, or unset and on."""
    if tuple(choices) == (None, True):
        return True
    return all(isinstance(c, int | float) and not isinstance(c, bool) and c != 0 for c in choices)


def _next(walker: _Walker, space: Space) -> list[int] | None:
    walker.key = _key(walker, space)
    return walker.following()


def _key(walker: _Walker, space: Space) -> str | None:
    """Return the identity of the recipe that the walker draws; None if it is no recipe."""
    try:
        return suggest_recipe(walker, space).key()
    except ConfigError:
        return None
