"""Caveats on the members of a front: error bars, differences within noise, collapsed models.

Each member gets three facts, all from its validation accuracy:

- its **standard error**, from the number of images that it was measured on (`results.interval`);
- whether it is **within noise** of another member that is at least as good in everything else:
  their accuracies differ by at most one standard error of the difference,
  ``sqrt(se1^2 + se2^2)``, computed as for two independent samples of images. Both were measured on
  the same images, so the true error is smaller, and a difference within noise may still be real.
  Of pairs that are equally good, one in three differs by more than this;
- whether it has **collapsed**: its accuracy is less than half as far above chance as the
  baseline's. Nothing dominates the smallest or the fastest file, however bad it is, so such
  trials are on the front. They are never the knee, and a pick returns one only if it is given a
  minimum accuracy, or if all members have collapsed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from slimtune.results.interval import trusted_error
from slimtune.results.objectives import OBJECTIVES, is_number
from slimtune.results.store.record import TrialRecord

COLLAPSE_SHARE = 0.5
"""Below this part of the baseline's accuracy above chance, a member counts as collapsed."""


def add_caveats(
    table: pd.DataFrame,
    records: Sequence[TrialRecord],
    workload: Mapping[str, Any],
    baseline: Mapping[str, float],
) -> pd.DataFrame:
    """Return the table with ``accuracy_standard_error``, ``within_noise_of`` and ``collapsed``.

    A table without an accuracy is returned unchanged.

    Args:
        table: members with ``trial`` and a column an objective.
        records: of all these trials, in any order.
        workload: of run.json: how many validation images, which classes.
        baseline: the baseline's measurements; empty if there are none.
    """
    if "accuracy" not in table:
        return table
    by_number = {record.number: record for record in records}
    errors = [
        accuracy_error(by_number[int(number)], score, workload)
        for number, score in zip(table["trial"], table["accuracy"], strict=True)
    ]
    table = table.assign(within_noise_of=_twins(table, np.array(errors, dtype=float)))
    table["collapsed"] = collapsed_rows(table["accuracy"], workload, baseline.get("accuracy"))
    table.insert(
        list(table.columns).index("pipeline"),
        "accuracy_standard_error",
        pd.Series(errors, dtype=float),
    )
    return table


def accuracy_error(record: TrialRecord, score: float, workload: Mapping[str, Any]) -> float:
    """Return the standard error of a validation accuracy: as recorded, else computed, else NaN."""
    recorded = record.metrics.get("accuracy_standard_error")
    return trusted_error(recorded, score, workload.get("validation"))


def chance_level(workload: Mapping[str, Any]) -> float | None:
    """Return the accuracy of always naming the most frequent class.

    If the manifest does not have it, one over the number of classes; None if that is unknown.
    """
    if is_number(workload.get("chance")):
        return float(workload["chance"])
    return 1 / len(workload["classes"]) if workload.get("classes") else None


def collapsed_rows(
    scores: pd.Series, workload: Mapping[str, Any], baseline: float | None
) -> np.ndarray:
    """Return which accuracies have collapsed against the baseline's, bool, (n,)."""
    chance = chance_level(workload)
    if chance is None or baseline is None or baseline <= chance:
        return np.zeros(len(scores), dtype=bool)
    return scores.to_numpy(float) < chance + COLLAPSE_SHARE * (baseline - chance)


def differ(first: float, second: float, errors: tuple[float, float]) -> bool:
    """Return whether two accuracies differ by more than one standard error of the difference."""
    return abs(first - second) > math.hypot(*errors)


def without_loss(table: pd.DataFrame, baseline: Mapping[str, float], images: Any) -> list[int]:
    """Return the trials that have lost no measurable validation accuracy against the baseline.

    Args:
        table: with caveats; trials without an error bar are left out.
        baseline: the baseline's measurements.
        images: number of validation images, for the baseline's own error.
    """
    score = baseline.get("accuracy")
    if score is None or not is_number(images) or "accuracy_standard_error" not in table:
        return []
    own = trusted_error(None, score, images)
    return [
        int(number)
        for number, accuracy, error in zip(
            table["trial"], table["accuracy"], table["accuracy_standard_error"], strict=True
        )
        if not math.isnan(error)
        and not (accuracy < score and differ(accuracy, score, (error, own)))
    ]


def _twins(table: pd.DataFrame, errors: np.ndarray) -> pd.Series:
    """Return for each member the trial that it is within noise of, or NA.

    Of several, the one with the lowest accuracy, which is the furthest that noise reaches.
    """
    scores = table["accuracy"].to_numpy(float)
    others = [o for n in table.columns if (o := OBJECTIVES.get(str(n))) and o.name != "accuracy"]
    signs = np.array([-1.0 if o.direction == "maximize" else 1.0 for o in others])
    costs = table[[o.name for o in others]].to_numpy(float) * signs
    numbers = table["trial"].to_numpy(int)
    twins: list[int | None] = []
    for row in range(len(table)):
        no_worse = (costs <= costs[row]).all(axis=1) & (scores <= scores[row])
        better = (costs < costs[row]).any(axis=1) | (numbers < numbers[row])
        near = [
            i
            for i in np.flatnonzero(no_worse & better)
            if i != row and not differ(scores[i], scores[row], (errors[i], errors[row]))
        ]
        near = [i for i in near if not math.isnan(errors[i] + errors[row])]
        twins.append(
            int(numbers[min(near, key=lambda i: (scores[i], numbers[i]))]) if near else None
        )
    return pd.Series(pd.array(twins, dtype="Int64"), index=table.index)
