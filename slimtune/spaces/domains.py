"""The two kinds of dimension of a search space, and how an Optuna trial draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from slimtune.errors import ConfigError, shortened


class Drawing(Protocol):
    """The methods of an Optuna trial that dimensions call."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of ``choices``."""
        ...

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return a whole number from ``low`` to ``high``."""
        ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number from ``low`` to ``high``."""
        ...


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Raises:
        ConfigError: no value is given.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigError("give at least one value")

    def suggest(self, trial: Drawing, name: str) -> Any:
        """Return one of the values; a single value costs no dimension."""
        if len(self.values) == 1:
            return self.values[0]
        return trial.suggest_categorical(name, self.values)

    def ends(self) -> tuple[Any, ...]:
        """Return the values whose validity implies that of all."""
        return self.values


@dataclass(frozen=True)
class Range:
    """Every number from ``low`` to ``high``, both included.

    Attributes:
        low: smallest value.
        high: largest value.
        step: distance between neighbours, or None for any number between.
        log: draw evenly in the logarithm; excludes ``step``.

    Raises:
        ConfigError: low above high, a step that is not positive, or log with low <= 0.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        for name, value in (("low", self.low), ("high", self.high), ("step", self.step)):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number and not (name == "step" and value is None):
                raise ConfigError(f"{name} must be a number, but got {shortened(value)}")
        if not self.low <= self.high:  # also catches NaN
            raise ConfigError(f"low {self.low} is above high {self.high}")
        if self.step is not None and not self.step > 0:
            raise ConfigError(f"step must be above 0, but got {self.step}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ConfigError("log needs low above 0 and no step")
        if self.step is not None and not _divides(self.step, self.high - self.low):
            raise ConfigError(
                f"high {self.high} is not low {self.low} plus a number of steps of {self.step}"
            )

    def suggest(self, trial: Drawing, name: str) -> float:
        """Return a number of the range; a whole one if low, high and the step, if any, are."""
        if self.low == self.high:
            return self.low
        if self.whole:
            step = int(self.step or 1)
            return trial.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        drawn = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return round(drawn, 10)  # 0.1 + 2 * 0.1 must be the same recipe as 0.3

    def ends(self) -> tuple[float, ...]:
        """Return low, high and a value between: if they are valid, so are all others."""
        if self.whole or self.low == self.high:
            return (self.low, self.high)
        return (self.low, self.high, self.low + (self.step or (self.high - self.low) / 3))

    def numbers(self) -> Sequence[float] | None:
        """Return every number of the range, ascending; None if there is no end of them."""
        if self.whole:
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        if self.step is None:
            return None
        count = round((self.high - self.low) / self.step) + 1
        each = (round(self.low + i * self.step, 10) for i in range(count))
        return tuple(min(self.high, number) for number in each)  # 0.15 + 7 * 0.1

    def middle(self) -> float:
        """Return the middle, the lower of two: of the ratios, if the range is logarithmic."""
        if self.whole and self.log:
            return math.isqrt(int(self.low * self.high))
        if self.log:
            return math.sqrt(self.low * self.high)
        step = self.step or (1 if self.whole else None)
        if step is None:
            return (self.low + self.high) / 2
        return self.low + round((self.high - self.low) / step) // 2 * step

    @property
    def whole(self) -> bool:
        """Whether the range holds whole numbers alone."""
        numbers = (self.low, self.high, *([] if self.step is None else [self.step]))
        return all(isinstance(value, int) for value in numbers)


Domain = Choice | Range


def parse_domain(value: object, default: Domain | None, listed: bool = False) -> Domain:
    """Read a dimension from YAML.

    A scalar fixes it; a list of two numbers where the default is a range is [low, high]; any
    other list is a choice; a mapping gives low, high, step and log.

    Args:
        value: what YAML holds.
        default: the dimension that is replaced, if there is one.
        listed: every list is a choice, as it is in a grid.

    Raises:
        ConfigError: as the domains' own rules.
    """
    if isinstance(value, dict):
        unknown = set(value) - {"low", "high", "step", "log"}
        if unknown or not {"low", "high"} <= set(value):
            raise ConfigError(f"give low, high and optionally step or log, got {shortened(value)}")
        return Range(**value)
    if isinstance(value, list | tuple):
        if isinstance(default, Range) and len(value) == 2 and not listed:
            return _restricted(default, *value)
        return Choice(tuple(value))
    return Choice((value,))


def _restricted(default: Range, low: Any, high: Any) -> Range:
    """Keep the default's step or logarithm on the narrower range, where it still fits."""
    step = default.step
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    if step is not None and numbers and not (high > low and _divides(step, high - low)):
        step = None
    return Range(low, high, step=step, log=default.log)


def _divides(step: float, width: float) -> bool:
    return abs(width / step - round(width / step)) < 1e-6
