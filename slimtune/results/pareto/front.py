"""Dominance and hypervolume of points in natural units."""

from collections.abc import Sequence

import numpy as np

from slimtune.results.objectives import Direction


def non_dominated(values: np.ndarray, directions: Sequence[Direction]) -> np.ndarray:
    """Return which points no other point dominates.

    A point dominates another if it is at least as good in every objective and better in one.
    Exact duplicates do not dominate each other: all of them are kept, or none.

    Args:
        values: (n, m), in natural units. A point with any NaN counts as dominated (False) and
            dominates nothing; infinities are compared like numbers.
        directions: m times "minimize" or "maximize".

    Returns:
        bool, (n,).

    Raises:
        ValueError: the shapes do not fit, or a direction is neither of the two words.
    """
    costs = _costs(values, directions)
    mask = ~np.isnan(costs).any(axis=1)
    for i in np.flatnonzero(mask):
        # Comparisons with NaN are False, so a NaN row never dominates.
        mask[i] = not ((costs <= costs[i]).all(axis=1) & (costs < costs[i]).any(axis=1)).any()
    return mask


def dominators(
    values: np.ndarray, directions: Sequence[Direction], at_worst: np.ndarray | None = None
) -> np.ndarray:
    """Return how many points surely dominate each point; see `non_dominated`.

    Args:
        values: (n, m), in natural units, without NaN: each point at its best.
        directions: m times "minimize" or "maximize".
        at_worst: (n, m), each point at its worst; None if the values are certain.

    Returns:
        int, (n,); 0 where `non_dominated` is True.

    Raises:
        ValueError: as there.
    """
    best = _costs(values, directions)
    worst = best if at_worst is None else _costs(at_worst, directions)
    found = [((worst <= c).all(axis=1) & (worst < c).any(axis=1)).sum() for c in best]
    return np.array(found, dtype=int)


def hypervolume(
    values: np.ndarray, reference: Sequence[float] | np.ndarray, directions: Sequence[Direction]
) -> float:
    """Return the exact volume that the points dominate, bounded by the reference point.

    It slices along one objective at a time (HSO: While, Hingston, Barone & Huband, 2006). The
    time grows as n^(m-1), which is short for some hundred points in 2 or 3 objectives.

    Args:
        values: (n, m), in natural units. A point that is not better than the reference in every
            objective, or is not finite, adds nothing; dominated points add nothing.
        reference: (m,), finite, in natural units: the worst corner.
        directions: m times "minimize" or "maximize".

    Returns:
        The volume, in the product of the units; 0 for no points.

    Raises:
        ValueError: the shapes do not fit, a direction is neither of the two words, or the
            reference is not finite.
    """
    corner = _costs(np.asarray(reference, dtype=float).reshape(1, -1), directions)[0]
    if not np.isfinite(corner).all():
        raise ValueError(f"reference must be finite, but got {reference}")
    costs = _costs(values, directions)
    better = np.isfinite(costs).all(axis=1) & (costs < corner).all(axis=1)
    return _volume(costs[better], corner)


def adds_volume(
    values: np.ndarray,
    before: np.ndarray,
    reference: Sequence[float],
    directions: Sequence[Direction],
) -> bool:
    """Return whether ``values`` add any volume to what the points ``before`` dominate.

    This compares points and not volumes: rounding could make a difference of volumes positive.

    Args:
        values: (n, m), in natural units.
        before: (k, m).
        reference: (m,), the worst corner.
        directions: m times "minimize" or "maximize".
    """
    corner = _costs(np.asarray(reference, dtype=float).reshape(1, -1), directions)[0]
    costs, others = _costs(values, directions), _costs(before, directions)
    inside = costs[np.isfinite(costs).all(axis=1) & (costs < corner).all(axis=1)]
    # A point adds volume exactly if no point before it is at least as good in everything.
    return any(not (others <= point).all(axis=1).any() for point in inside)


def _costs(values: np.ndarray, directions: Sequence[Direction]) -> np.ndarray:
    """Return the values with every objective to be minimized, float64, (n, m)."""
    if not set(directions) <= {"minimize", "maximize"}:
        raise ValueError(f"directions are 'minimize' or 'maximize', but got {list(directions)}")
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(directions) or not directions:
        raise ValueError(f"values are (n, {len(directions)}), but got {table.shape}")
    return table * np.where(np.array(directions) == "maximize", -1.0, 1.0)


def _volume(costs: np.ndarray, corner: np.ndarray) -> float:
    if len(costs) == 0:
        return 0.0
    if costs.shape[1] == 1:
        return float(corner[0] - costs.min())
    if costs.shape[1] == 2:
        return _area(costs, corner)
    # Duplicates and dominated points add no volume; without them there are fewer cuts.
    costs = np.unique(costs, axis=0)
    costs = costs[non_dominated(costs, ["minimize"] * costs.shape[1])]
    # Between two neighbouring levels of the last objective, the cut through the volume is the
    # volume, one dimension lower, of the points that reach down to that level.
    costs = costs[np.argsort(costs[:, -1], kind="stable")]
    heights = np.diff(np.append(costs[:, -1], corner[-1]))
    slices = (
        height * _volume(costs[: i + 1, :-1], corner[:-1])
        for i, height in enumerate(heights)
        if height > 0
    )
    return float(sum(slices))


def _area(costs: np.ndarray, corner: np.ndarray) -> float:
    # Walking along the first objective, only a point lower than all before adds to the staircase.
    costs = costs[np.argsort(costs[:, 0], kind="stable")]
    lowest = np.minimum.accumulate(np.append(corner[1], costs[:, 1]))
    return float(((corner[0] - costs[:, 0]) * -np.diff(lowest)).sum())
