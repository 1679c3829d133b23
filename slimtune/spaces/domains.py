"""The two kinds of dimension a search space has, and how each is drawn from an Optuna trial."""

from dataclasses import dataclass
from typing import Any

import optuna

from slimtune.errors import ConfigError, shortened


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

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
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

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """Return a number of the range; whole numbers for a whole low, high and step."""
        if self.low == self.high:
            return self.low
        if all(isinstance(value, int) for value in (self.low, self.high, self.step)):
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1))
        drawn = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return round(drawn, 10)  # 0.1 + 2 * 0.1 must be the same recipe as 0.3

    def ends(self) -> tuple[float, float]:
        """Return low and high: between them every value is as valid as they are."""
        return (self.low, self.high)


Domain = Choice | Range


def parse_domain(value: object, default: Domain | None) -> Domain:
    """Read a dimension from YAML.

    A scalar fixes it; a list of two numbers where the default is a range is [low, high]; any
    other list is a choice; a mapping gives low, high, step and log.

    Raises:
        ConfigError: as the domains' own rules.
    """
    if isinstance(value, dict):
        unknown = set(value) - {"low", "high", "step", "log"}
        if unknown or not {"low", "high"} <= set(value):
            raise ConfigError(f"give low, high and optionally step or log, got {shortened(value)}")
        return Range(**value)
    if isinstance(value, list | tuple):
        if isinstance(default, Range) and len(value) == 2:
            return _restricted(default, *value)
        return Choice(tuple(value))
    return Choice((value,))


def _restricted(default: Range, low: Any, high: Any) -> Range:
    """Keep the default's step or logarithm on the narrower range, where it still fits."""
    step = default.step
    if step is not None and isinstance(low, int | float) and isinstance(high, int | float):
        if high - low < step:
            step = None
    return Range(low, high, step=step, log=default.log)
