"""What to know before believing a member of a front: its error bar, its twin, its collapse.

Three things are told of every member, all from validation accuracy:

- its **standard error**, from the images that it was measured on (`results.interval`);
- whether it is **within noise** of another member that is at least as good in everything else.
  The two are not told apart if their accuracies differ by no more than one standard error of the
  difference, ``sqrt(se1^2 + se2^2)``, as of two samples of images. Both saw the same images, so
  the true error is smaller, and what counts as noise here may be a small real difference; of two
  equally good members, one in three pairs differs by more than that all the same;
- whether it has **collapsed**: it keeps less than half of what the baseline's accuracy is above
  chance. Nothing dominates the smallest and the fastest file, however little it recognises, so
  such trials are on the front; they are never its knee, and no pick but one that is given a
  minimum accuracy returns them, unless there is nothing else.
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

    Without an accuracy among the columns there is nothing to tell: the table comes back as is.

    Args:
        table: members with ``trial`` and a column an objective.
        records: of all these trials, in any order.
        workload: of run.json: how many validation images, which classes.
        baseline: what the baseline measured; empty if that is not known.
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
    """Return the accuracy of knowing nothing: of always naming the most frequent class.

    One over the number of classes where the manifest does not say it; None if nothing is known.
    """
    if is_number(workload.get("chance")):
        return float(workload["chance"])
    return 1 / len(workload["classes"]) if workload.get("classes") else None


def collapsed_rows(
    scores: pd.Series, workload: Mapping[str, Any], baseline: float | None
) -> np.ndarray:
    """Return which accuracies keep too little of the baseline's, (n,)."""
    chance = chance_level(workload)
    if chance is None or baseline is None or baseline <= chance:
        return np.zeros(len(scores), dtype=bool)
    return scores.to_numpy(float) < chance + COLLAPSE_SHARE * (baseline - chance)


def differ(first: float, second: float, errors: tuple[float, float]) -> bool:
    """Return whether two accuracies differ by more than one standard error of the difference."""
    return abs(first - second) > math.hypot(*errors)


def without_loss(table: pd.DataFrame, baseline: Mapping[str, float], images: Any) -> list[int]:
    """Return the trials whose validation accuracy cannot be told from the baseline's.

    Args:
        table: with caveats; those without an error bar are left out.
        baseline: what it measured.
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
    """Return for each member the trial that it is within noise of, or nothing.

    Of several, the one with the least accuracy: it is the furthest that the noise reaches.
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
