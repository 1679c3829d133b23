"""How many recipes a space has, counted without listing them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimtune.errors import ConfigError
from slimtune.spaces.answers import Walker
from slimtune.spaces.domains import Choice, Domain, Range
from slimtune.spaces.space import Space, suggest_recipe

MOST = 4000
"""Most combinations of choices that are counted, which takes some seconds."""


@dataclass(frozen=True)
class Size:
    """How large a space is.

    Attributes:
        recipes: how many differ (`Recipe.key`), with every continuous dimension held fixed.
        continuous: names of the dimensions that may be any number of a range.
        is_exact: whether all combinations were counted; otherwise there are more.
    """

    recipes: int
    continuous: tuple[str, ...]
    is_exact: bool

    def __str__(self) -> str:
        """Return the size in words."""
        count = f"{'' if self.is_exact else 'more than '}{self.recipes:,} recipes"
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
        most: combinations that are counted at most.
    """
    seen: set[str] = set()
    continuous: dict[str, None] = {}
    recipes = walked = 0
    positions: list[int] | None = []
    while positions is not None and walked < most:
        walker = _Combinations(positions)
        positions, key, walked = _next(walker, space), walker.key, walked + 1
        if key is None or key in seen:
            continue
        seen.add(key)
        count = 1
        for name, values in walker.free.items():
            if _key(_Combinations(walker.current_positions, {name: values[-1]}), space) == key:
                continue  # set, but of no effect here
            if name in walker.continuous:
                continuous[name] = None
            else:
                count *= len(values)
        recipes += count
    return Size(recipes, tuple(continuous), positions is None)


class _Combinations(Walker):
    """Walks the dimensions that decide about others, and takes the first value of all others.

    Args:
        positions: of the walked dimensions, in the order in which they are drawn.
        fixed: other values for single dimensions.

    Attributes:
        free: dimensions that are not walked, with their values or, of a continuous one, its ends.
        continuous: names of those that may be any number of a range.
        key: identity of the recipe that was drawn; None before, or if it is no recipe.
    """

    def __init__(self, positions: Sequence[int], fixed: Mapping[str, Any] | None = None) -> None:
        super().__init__(positions)
        self._fixed = fixed or {}
        self.free: dict[str, Sequence[Any]] = {}
        self.continuous: set[str] = set()
        self.key: str | None = None

    def answer(self, name: str, domain: Domain) -> Any:
        """Return the value at its position, or the first where nothing depends on it."""
        values = domain.values if isinstance(domain, Choice) else domain.numbers()
        if values is not None and not _is_free(values):
            return self.walk(values)
        first = None if values is None else values[0]
        if isinstance(domain, Range) and values is None:
            self.continuous.add(name)
            first = domain.low if domain.low > 0 else (domain.low + domain.high) / 2
        self.free[name] = values or domain.ends()[:2]
        return self._fixed.get(name, first)


def _is_free(choices: Sequence[Any]) -> bool:
    """Return whether choices decide about no other dimension: numbers but 0, or unset and on."""
    if tuple(choices) == (None, True):
        return True
    return all(isinstance(c, int | float) and not isinstance(c, bool) and c != 0 for c in choices)


def _next(walker: _Combinations, space: Space) -> list[int] | None:
    walker.key = _key(walker, space)
    return walker.next_positions()


def _key(walker: _Combinations, space: Space) -> str | None:
    """Return the identity of the recipe that the walker draws; None if it is no recipe."""
    try:
        return suggest_recipe(walker, space).key()
    except ConfigError:
        return None
