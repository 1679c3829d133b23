"""Stand-ins for an Optuna trial, which choose each value by a rule instead of drawing it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from slimtune.spaces.domains import Choice, Domain, Range


class Answers(ABC):
    """Answers every draw of `suggest_recipe` by the rule of a subclass.

    Attributes:
        params: the value of each dimension that the rule records.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    @abstractmethod
    def answer(self, name: str, domain: Domain) -> Any:
        """Return the value of a dimension, which must be one of ``domain``.

        Args:
            name: of the dimension, such as ``prune.amount``.
            domain: its values; a range of whole numbers has whole ends and a whole step.
        """

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of ``choices``."""
        return self.answer(name, Choice(tuple(choices)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return a whole number from ``low`` to ``high``."""
        return int(self.answer(name, Range(low, high, step=None if log else step, log=log)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number from ``low`` to ``high``."""
        spaced = None if step is None else float(step)
        return float(self.answer(name, Range(float(low), float(high), step=spaced, log=log)))


class Walker(Answers):
    """Takes given positions of the dimensions that it walks, and the first value of later ones.

    Args:
        positions: one for each walked dimension, in the order in which they are drawn.
    """

    def __init__(self, positions: Sequence[int]) -> None:
        super().__init__()
        self._positions = list(positions)
        self._sizes: list[int] = []

    @property
    def current_positions(self) -> list[int]:
        """The position of each dimension that was walked."""
        return [self._position(index) for index in range(len(self._sizes))]

    def next_positions(self) -> list[int] | None:
        """Return the positions of the next combination, or None after the last."""
        positions = self.current_positions
        while positions and positions[-1] + 1 == self._sizes[len(positions) - 1]:
            positions.pop()
        return [*positions[:-1], positions[-1] + 1] if positions else None

    def walk(self, values: Sequence[Any]) -> Any:
        """Return the value at the position of the next dimension that is walked."""
        self._sizes.append(len(values))
        return values[self._position(len(self._sizes) - 1)]

    def _position(self, index: int) -> int:
        return self._positions[index] if index < len(self._positions) else 0
