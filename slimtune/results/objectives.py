"""What can be optimised: measured quantities, each with a direction, a unit and a range."""

import difflib
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from slimtune.errors import UnknownNameError, UserError, shortened

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Objective:
    """A measured quantity that a search improves.

    Attributes:
        name: the key in records and the column in tables.
        direction: which way is better.
        unit: of the stored value; empty for a plain number.
        title: the word for people.
        low: smallest possible value.
        high: largest possible value.
        log: whether ratios, not differences, are what counts (a file of half the size).
        whole: whether every value is an integer.
    """

    name: str
    direction: Direction
    unit: str
    title: str
    low: float = 0.0
    high: float = math.inf
    log: bool = False
    whole: bool = False

    def fault(self, value: object) -> str | None:
        """Return what is wrong with a measured ``value``, or None if it can be trusted."""
        if not is_number(value):
            return f"not a number: {self.name} is {shortened(value)}"
        if not math.isfinite(value):  # type: ignore[arg-type]
            return f"non-finite: {self.name} is {value}"
        if not self.low <= value <= self.high:  # type: ignore[operator]
            return f"metric out of range: {self.name} is {value}, must be {self._range()}"
        return None

    def _range(self) -> str:
        return (
            f"at least {self.low:g}" if math.isinf(self.high) else f"{self.low:g}..{self.high:g}"
        )


def is_number(value: object) -> bool:
    """Return whether ``value`` is a real number; True and False are not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


OBJECTIVES: dict[str, Objective] = {
    known.name: known
    for known in (
        Objective("accuracy", "maximize", "", "accuracy", high=1.0),
        Objective("size_bytes", "minimize", "B", "size", log=True, whole=True),
        Objective("latency_ms", "minimize", "ms", "latency", log=True),
        Objective("macs", "minimize", "MAC", "MACs", log=True, whole=True),
        Objective("params", "minimize", "", "params", log=True, whole=True),
        Objective("bops", "minimize", "BOP", "BOPs", log=True, whole=True),
    )
}


def objective(name: str) -> Objective:
    """Return the objective called ``name``.

    Raises:
        UnknownNameError: there is none; the message suggests the nearest and lists all.
    """
    if name in OBJECTIVES:
        return OBJECTIVES[name]
    # People type the word ("latency", "lat"), not the key with its unit: match on both.
    words = {known.title: known.name for known in OBJECTIVES.values()}
    words |= {known: known for known in OBJECTIVES}
    nearest = difflib.get_close_matches(str(name), list(words), n=1, cutoff=0.6)
    guess = f" Did you mean '{words[nearest[0]]}'?" if nearest else ""
    choices = ", ".join(OBJECTIVES)
    raise UnknownNameError(f"unknown objective {shortened(name)}.{guess} Choose from {choices}.")


def parse_objectives(names: Sequence[str]) -> tuple[Objective, ...]:
    """Return the objectives called ``names``, in that order.

    Args:
        names: at least two different names: with one there is no front, only a best trial.

    Raises:
        UserError: fewer than two names, or one name twice.
        UnknownNameError: a name that is no objective.
    """
    found = tuple(objective(name) for name in names)
    if len(set(found)) != len(found):
        raise UserError(f"objectives: name each one once, but got {', '.join(names)}")
    if len(found) < 2:
        raise UserError(
            f"objectives: give at least 2, but got {len(found)}; "
            "a front needs something to trade, such as accuracy and size_bytes"
        )
    return found
