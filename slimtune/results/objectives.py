"""What can be optimised: measured quantities, each with a direction, a unit and a range.

A setting names a metric of the user's own as ``CODE:NAME:maximize`` or ``...:minimize``, where
``CODE:NAME`` is a code reference. Records and columns call it ``NAME:maximize``, so that a run can
be opened without the code.
"""

import difflib
import math
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

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

    @property
    def arrow(self) -> str:
        """``"↓"`` where less is better, ``"↑"`` where more is."""
        return "↓" if self.direction == "minimize" else "↑"

    def fault(self, value: object) -> str | None:
        """Return what is wrong with a measured ``value``, or None if it can be trusted."""
        if not is_number(value):
            return f"not a number: {self.name} is {shortened(value)}"
        if not math.isfinite(value):  # type: ignore[arg-type]
            return f"non-finite: {self.name} is {value}"
        if not self.low <= value <= self.high:  # type: ignore[operator]
            return f"metric out of range: {self.name} is {value}, must be {self._range()}"
        return None

    def worst(self, baseline: float) -> float:
        """Return the value that hypervolume is counted from, given the baseline's.

        A maximized objective counts from 0, a cost from a tenth above the baseline. A metric of
        the user's own may have any sign. If it is maximized and the baseline is above 0, it counts
        from 0. Else it counts from the baseline, worsened by nine times its absolute value or by
        1, whichever is more.
        """
        far = max(1.0, 9 * abs(baseline))
        if self.direction == "maximize":
            return 0.0 if baseline > 0 or self.low == 0 else baseline - far
        return 1.1 * baseline if self.low == 0 else baseline + far

    def _range(self) -> str:
        return (
            f"at least {self.low:g}" if math.isinf(self.high) else f"{self.low:g}..{self.high:g}"
        )


def is_number(value: object) -> bool:
    """Return whether ``value`` is a real number; True and False are not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


_OWN = re.compile(r"(?:(?P<code>.+):)?(?P<name>[A-Za-z_]\w*):(?P<direction>maximize|minimize)")


class _Objectives(dict[str, Objective]):
    """The table of objectives; metrics of the user's own are in it as soon as they are named."""

    def __missing__(self, name: str) -> Objective:
        match = _OWN.fullmatch(name) if isinstance(name, str) else None
        if match is None or match["code"] is not None:
            raise KeyError(name)
        direction: Direction = "maximize" if match["direction"] == "maximize" else "minimize"
        return Objective(name, direction, "", match["name"], low=-math.inf)

    def __contains__(self, name: object) -> bool:
        match = _OWN.fullmatch(name) if isinstance(name, str) else None
        return super().__contains__(name) or (match is not None and match["code"] is None)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default


OBJECTIVES: dict[str, Objective] = _Objectives(
    (objective.name, objective)
    for objective in (
        Objective("accuracy", "maximize", "", "accuracy", high=1.0),
        Objective("balanced_accuracy", "maximize", "", "balanced accuracy", high=1.0),
        Objective("size_bytes", "minimize", "B", "size", log=True, whole=True),
        Objective("latency_ms", "minimize", "ms", "latency", log=True),
        Objective("macs", "minimize", "MAC", "MACs", log=True, whole=True),
        Objective("params", "minimize", "", "params", log=True, whole=True),
        Objective("bops", "minimize", "BOP", "BOPs", log=True, whole=True),
    )
)


def metric_code(objective: str) -> str | None:
    """Return the code reference inside ``CODE:NAME:maximize``; None in any other objective."""
    match = _OWN.fullmatch(objective)
    return f"{match['code']}:{match['name']}" if match and match["code"] else None


def objective(name: str) -> Objective:
    """Return the objective called ``name``, or that ``CODE:NAME:maximize`` asks for.

    Raises:
        UnknownNameError: there is none; the message suggests the nearest and lists all.
    """
    match = _OWN.fullmatch(str(name))
    key = str(name) if match is None else f"{match['name']}:{match['direction']}"
    if key in OBJECTIVES:
        return OBJECTIVES[key]
    if ".py:" in key or ("." in key.partition(":")[0] and ":" in key):
        raise UserError(
            f"objectives: {shortened(name)} needs a direction; write {name}:maximize or "
            f"{name}:minimize"
        )
    # People type the word ("latency", "lat"), not the key with its unit: match on both.
    words = {objective.title: objective.name for objective in OBJECTIVES.values()}
    words |= {objective: objective for objective in OBJECTIVES}
    nearest = difflib.get_close_matches(str(name), list(words), n=1, cutoff=0.6)
    guess = f" Did you mean '{words[nearest[0]]}'?" if nearest else ""
    choices = ", ".join(OBJECTIVES)
    raise UnknownNameError(
        f"unknown objective {shortened(name)}.{guess} Choose from {choices}, or a function of "
        "your own, FILE.py:NAME:maximize."
    )


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


def can_foresee(names: Sequence[str]) -> bool:
    """Return whether a trial's chance of joining the front can be judged while it runs.

    Costs are known before training. Of the objectives that training changes, only accuracy is
    watched.
    """
    costs = [name for name, objective in OBJECTIVES.items() if objective.direction == "minimize"]
    return "accuracy" in names and {*names} <= {"accuracy", *costs}
