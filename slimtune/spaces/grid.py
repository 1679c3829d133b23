"""Every recipe of a space, one after another."""

from typing import Any

from slimtune.errors import ConfigError
from slimtune.spaces.answers import Walker
from slimtune.spaces.domains import Choice, Domain
from slimtune.spaces.space import Space, suggest_recipe

MOST = 20_000
"""Most points of a grid; listing more would take too long."""


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
        walker = _Points(positions)
        points.setdefault(suggest_recipe(walker, space).key(), walker.params)
        positions = walker.next_positions()
        walked += 1
        if walked > MOST:
            raise ConfigError(
                f"space: a grid may have {MOST} points at most, but this has more; "
                "give fewer values, or use another sampler"
            )
    return list(points.values())


class _Points(Walker):
    """Walks every dimension."""

    def answer(self, name: str, domain: Domain) -> Any:
        """Return the value at this dimension's position."""
        values = domain.values if isinstance(domain, Choice) else domain.numbers()
        if values is None:
            low, high = domain.ends()[:2]
            raise ConfigError(
                f"space.{name}: a grid needs a list of values or a step, but got every number "
                f"from {low:g} to {high:g}"
            )
        self.params[name] = self.walk(values)
        return self.params[name]
