"""The hypervolume of a run after each trial, as a share of the ideal."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from slimtune.results.objectives import Objective
from slimtune.results.pareto.front import adds_volume, hypervolume
from slimtune.results.pareto.trial_table import values_of
from slimtune.results.store.record import TrialRecord


def box_volume(objectives: Sequence[Objective], reference: Mapping[str, float]) -> float | None:
    """Return the volume between the reference point and the ideal.

    The ideal is an accuracy of 1 with no bytes and no time. None if an objective has no best
    value, because it is maximized without bound.
    """
    sides = []
    for objective in objectives:
        best = objective.high if objective.direction == "maximize" else objective.low
        sides.append(abs(reference[objective.name] - best))
    volume = math.prod(sides)
    return volume if math.isfinite(volume) and volume > 0 else None


def hypervolumes(
    values: np.ndarray, objectives: Sequence[Objective], reference: Mapping[str, float]
) -> list[float]:
    """Return the hypervolume after each trial, as a share of `box_volume` where there is one.

    Args:
        values: (n, m), in natural units, in the order of the trials; a row with a NaN adds
            nothing.
        objectives: m.
        reference: the worst corner, by objective name.

    Returns:
        n values that never fall: 0..1, or in the product of the units.
    """
    directions = [o.direction for o in objectives]
    corner = [reference[o.name] for o in objectives]
    whole = box_volume(objectives, reference) or 1.0
    kept = np.empty((0, len(objectives)))
    found: list[float] = []
    for row in values:
        point = row.reshape(1, -1)
        # Most trials add nothing, and finding that out is much cheaper than a hypervolume.
        if adds_volume(point, kept, corner, directions):
            kept = np.vstack([kept, point])
            found.append(hypervolume(kept, corner, directions) / whole)
        else:
            found.append(found[-1] if found else 0.0)
    return found


def growth_table(
    records: Sequence[TrialRecord],
    won: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    reference: Mapping[str, float],
) -> pd.DataFrame:
    """Return ``trial`` and ``hypervolume`` of all trials; see `Run.growth`.

    Args:
        records: all of them, by number.
        won: the trials that count; the others add nothing.
        objectives: of the run.
        reference: the worst corner, by objective name.
    """
    counts = {record.number for record in won}
    values = values_of(records, objectives)
    values[[record.number not in counts for record in records]] = np.nan
    return pd.DataFrame(
        {
            "trial": np.array([record.number for record in records], dtype=int),
            "hypervolume": np.array(hypervolumes(values, objectives, reference), dtype=float),
        }
    )
