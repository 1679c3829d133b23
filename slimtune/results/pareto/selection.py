"""Choose one member of a front: the knee, or the best in one objective, within limits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from slimtune.errors import NothingMatchesError, UnknownNameError, UserError, did_you_mean
from slimtune.results.limit_words import limit_amount, limit_words
from slimtune.results.objectives import OBJECTIVES, Direction, Objective

PICKS = {"accuracy": "accuracy", "size": "size_bytes", "latency": "latency_ms"}
"""Choices of `pick` besides "knee" -> the objective that the member is best in."""

NO_TEXTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Limit:
    """A bound that a picked member satisfies; ``text`` is how the user wrote it, if known."""

    objective: Objective
    value: float
    text: str = ""

    def excess(self, measured: float) -> float:
        """Return by how much ``measured`` breaks the limit, in its unit; 0 if it does not."""
        gap = measured - self.value
        return max(0.0, -gap if self.objective.direction == "maximize" else gap)

    def __str__(self) -> str:
        """Return the limit as a condition, such as ``"latency <= 2 ms"``."""
        return limit_words(self.objective.name, self.value, self.text)


def distances(
    values: np.ndarray,
    directions: Sequence[Direction],
    log: Sequence[bool],
    scale: np.ndarray | None = None,
) -> np.ndarray:
    """Return the distance of each point from the best value of every objective at once.

    Each objective is scaled to 0 (the best of the points) .. 1 (the worst). An objective in which
    all points are equal counts 0.

    Args:
        values: (n, m), in natural units, n >= 1. A point with a NaN is infinitely far.
        directions: m times "minimize" or "maximize".
        log: for each objective, whether ratios count rather than differences; a column with a
            value of 0 or less has no ratios and is scaled by differences.
        scale: (n,), which of the points the best and the worst are taken of; None for all.

    Returns:
        float64, (n,): Euclidean distances; 0..sqrt(m) for the points of the scale.
    """
    squares = np.zeros(len(values))
    used = np.ones(len(values), dtype=bool) if scale is None else scale
    for column, direction, ratios in zip(
        np.asarray(values, float).T, directions, log, strict=True
    ):
        finite = column[np.isfinite(column) & used]
        if ratios and (column[np.isfinite(column)] > 0).all():
            column, finite = np.log(column), np.log(finite)
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        best = high if direction == "maximize" else low
        squares += (np.abs(column - best) / ((high - low) or 1.0)) ** 2
    return np.where(np.isfinite(squares), np.sqrt(squares), math.inf)


def knee(values: np.ndarray, directions: Sequence[Direction], log: Sequence[bool]) -> int:
    """Return the index of the point nearest to the best of everything, by `distances`.

    On a tie (to 12 digits), the point that is higher in the maximized objectives wins, then the
    one with the lower index.

    Raises:
        ValueError: there is no point.
    """
    far = np.round(distances(values, directions, log), 12)
    nearest = np.flatnonzero(far == far.min())
    columns = [i for i, direction in enumerate(directions) if direction == "maximize"]
    return int(max(nearest, key=lambda i: (*np.asarray(values)[i, columns], -i)))


def objectives_of(front: pd.DataFrame) -> list[Objective]:
    """Return the objectives that a front has columns for, in the order of the columns."""
    return [OBJECTIVES[str(name)] for name in front.columns if name in OBJECTIVES]


def sound_members(front: pd.DataFrame) -> np.ndarray:
    """Return which members have not collapsed (`pareto.caveats`), (n,); all True if all have."""
    if "collapsed" not in front or front["collapsed"].all():
        return np.ones(len(front), dtype=bool)
    return ~front["collapsed"].to_numpy(bool)


def front_distances(front: pd.DataFrame) -> np.ndarray:
    """Return `distances` of the members of a front on the scale of its sound members, (n,).

    A collapsed member would stretch the scale of accuracy until all others look alike.
    """
    objectives = objectives_of(front)
    values = front[[o.name for o in objectives]].to_numpy(float)
    return distances(
        values,
        [o.direction for o in objectives],
        [o.log for o in objectives],
        scale=sound_members(front),
    )


def front_knee(front: pd.DataFrame) -> int:
    """Return the row position of the knee of a front with at least one member."""
    objectives = objectives_of(front)
    rows = np.flatnonzero(sound_members(front))
    values = front[[o.name for o in objectives]].to_numpy(float)[rows]
    return int(rows[knee(values, [o.direction for o in objectives], [o.log for o in objectives])])


def pick(
    front: pd.DataFrame,
    how: str = "knee",
    *,
    min_accuracy: float | None = None,
    max_latency_ms: float | None = None,
    max_size_bytes: float | None = None,
    texts: Mapping[str, str] = NO_TEXTS,
) -> int:
    """Return the number of one trial of a front; see `pick_row`.

    Args:
        front: from `Run.front`: a column ``trial`` and one an objective.
        how: "knee", "accuracy", "size" or "latency".
        min_accuracy: 0..1.
        max_latency_ms: above 0.
        max_size_bytes: above 0.
        texts: see `members_within`.

    Raises:
        UserError: an unknown ``how``, a limit out of range, or an objective that the run has not.
        NothingMatchesError: no member keeps the limits; the message names the nearest miss.
    """
    limits = _limits(min_accuracy, max_latency_ms, max_size_bytes)
    return int(front["trial"].iloc[pick_row(front, how, limits, texts)])


def pick_row(
    front: pd.DataFrame,
    how: str,
    limits: Mapping[str, float],
    texts: Mapping[str, str] = NO_TEXTS,
) -> int:
    """Return the row position of one member of a front.

    Limits apply to the values that the search selects on: validation accuracy, never test
    accuracy. The knee is the allowed member nearest to the best of the whole front, so a limit
    that the knee satisfies does not move it. Collapsed members (see `results.pareto.caveats`) are
    skipped, unless a minimum accuracy allows them or there are no others.

    Args:
        front: a column ``trial`` and one an objective.
        how: "knee", "accuracy", "size" or "latency"; ties go to the one nearer to the knee.
        limits: objective -> limit, in its unit.
        texts: see `members_within`.

    Raises:
        UserError: an unknown ``how``, or an objective that the run has not.
        NothingMatchesError: no member keeps the limits; the message names the nearest miss.
    """
    by = None if how == "knee" else _column(front, _objective_of_pick(how))
    kept = members_within(front, limits, texts)
    allowed = np.flatnonzero(kept)
    if "accuracy" not in limits and (kept & sound_members(front)).any():
        allowed = np.flatnonzero(kept & sound_members(front))
    far = front_distances(front)
    if by is None:
        objectives = objectives_of(front)
        highs = front[[o.name for o in objectives if o.direction == "maximize"]].to_numpy(float)
        order = [(round(far[i], 12), *(-highs[i]), i) for i in allowed]
    else:
        worst = -by.to_numpy(float) if how == "accuracy" else by.to_numpy(float)
        order = [(worst[i], round(far[i], 12), i) for i in allowed]
    return int(min(order)[-1])


def members_within(
    front: pd.DataFrame,
    limits: Mapping[str, float],
    texts: Mapping[str, str] = NO_TEXTS,
) -> np.ndarray:
    """Return which rows of a front, or of all trials, are within limits, bool, (n,).

    Args:
        front: a column ``trial`` and one an objective.
        limits: objective -> limit, in its unit.
        texts: objective -> the limit as the user wrote it; messages use its unit.

    Raises:
        UserError: a limit on a quantity that is not an objective of this run.
        NothingMatchesError: no row is within them; the message names the nearest miss.
    """
    bounds = _limits_with_texts(limits, texts)
    for limit in bounds:
        _column(front, limit.objective)
    if front.empty:
        raise NothingMatchesError("the front is empty: no trial of this run finished")
    excess = _excesses(front, bounds)
    kept: np.ndarray = (excess == 0).all(axis=1)
    if not kept.any():
        raise NothingMatchesError(_nearest_miss(front, bounds, excess))
    return kept


def nearest_miss(
    measured: pd.DataFrame,
    limits: Mapping[str, float],
    texts: Mapping[str, str] = NO_TEXTS,
) -> str:
    """Return, in one line, which trial breaks the limits by the least.

    Args:
        measured: at least one row: ``trial``, and a column for each limit.
        limits: measured quantity -> limit, in its unit.
        texts: see `members_within`.
    """
    bounds = _limits_with_texts(limits, texts)
    return _nearest_miss(measured, bounds, _excesses(measured, bounds))


def _limits_with_texts(limits: Mapping[str, float], texts: Mapping[str, str]) -> list[Limit]:
    return [Limit(OBJECTIVES[name], limits[name], texts.get(name, "")) for name in limits]


def _objective_of_pick(how: str) -> Objective:
    if how not in PICKS:
        choices = ", ".join(names := ("knee", *PICKS))
        guess = did_you_mean(str(how), names)
        raise UnknownNameError(f"unknown pick '{how}'.{guess} Choose from {choices}.")
    return OBJECTIVES[PICKS[how]]


def _limits(
    min_accuracy: float | None, max_latency_ms: float | None, max_size_bytes: float | None
) -> dict[str, float]:
    if min_accuracy is not None and not 0 <= min_accuracy <= 1:
        raise UserError(f"min_accuracy: must be in 0..1 (0.9 is 90 %), but got {min_accuracy}")
    upper = {"max_latency_ms": max_latency_ms, "max_size_bytes": max_size_bytes}
    for name, value in upper.items():
        if value is not None and not value > 0:
            raise UserError(f"{name}: must be above 0, but got {value}")
    given = {"accuracy": min_accuracy, "latency_ms": max_latency_ms, "size_bytes": max_size_bytes}
    return {name: value for name, value in given.items() if value is not None}


def _column(front: pd.DataFrame, wanted: Objective) -> pd.Series:
    if wanted.name not in front.columns:
        names = ", ".join(o.name for o in objectives_of(front))
        raise UserError(f"{wanted.name} is not an objective of this run (it has {names})")
    return front[wanted.name]


def _excesses(front: pd.DataFrame, limits: list[Limit]) -> np.ndarray:
    """Return by how much each member breaks each limit, in units, (members, limits)."""
    columns = [[limit.excess(v) for v in front[limit.objective.name]] for limit in limits]
    return np.array(columns, dtype=float).reshape(len(limits), len(front)).T


def _nearest_miss(front: pd.DataFrame, limits: list[Limit], excess: np.ndarray) -> str:
    # Relative to the limit, so that bytes and milliseconds can be added up.
    scale = np.array([limit.value or 1.0 for limit in limits])
    row = int(np.argmin((excess / scale).sum(axis=1)))
    misses = " and ".join(
        f"{limit.objective.title} by {_gap(limit, gap)}"
        for limit, gap in zip(limits, excess[row], strict=True)
        if gap > 0
    )
    asked = " and ".join(map(str, limits))
    return f"no trial has {asked}; closest: trial {front['trial'].iloc[row]} misses {misses}"


def _gap(limit: Limit, gap: float) -> str:
    digits = 4 if limit.objective.name == "size_bytes" else 3
    return limit_amount(limit.objective, gap, limit.text, digits)
