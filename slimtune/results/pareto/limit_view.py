"""Limits to view a run with: tighter or looser than those of its search, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from slimtune.errors import UnknownNameError, UserError, did_you_mean, shortened
from slimtune.results.objectives import OBJECTIVES, Objective
from slimtune.results.pareto.limits import (
    LIMITED,
    joint_limits,
    keeps,
    may_keep,
    parse_limit,
    resolve_limits,
)
from slimtune.results.pareto.selection import pick_row
from slimtune.results.pareto.trial_table import rows_of
from slimtune.results.store.record import TrialRecord

REMOVED = "none"
"""The text that removes a limit."""

_IN_UNITS = {"max_latency_ms": ("max_latency", "ms"), "max_size_bytes": ("max_size", "B")}
"""A number in an objective's own unit, as in `Run.pick` -> its constraint and unit."""


@dataclass(frozen=True)
class LimitView:
    """The limits that a run is viewed with.

    Attributes:
        limits: measured quantity -> limit, in its unit.
        texts: measured quantity -> the limit as the user wrote it.
    """

    limits: Mapping[str, float]
    texts: Mapping[str, str]

    def with_limits(
        self, asked: Mapping[str, str | None], baseline: Mapping[str, float]
    ) -> "LimitView":
        """Return the view with some limits replaced.

        Args:
            asked: from `parse_limits`; None removes a limit.
            baseline: see `resolve`.

        Raises:
            UserError: see `resolve`.
        """
        names = {LIMITED[constraint]: text for constraint, text in asked.items()}
        limits = {name: limit for name, limit in self.limits.items() if name not in names}
        texts = {name: text for name, text in self.texts.items() if name not in names}
        texts |= {name: text for name, text in names.items() if text is not None}
        return LimitView({**limits, **resolve(asked, baseline)}, texts)

    def for_joint(self, latency_ms: float | None) -> "LimitView":
        """Return the view for the joint measurement; see `limits.joint_limits`.

        Args:
            latency_ms: the baseline's latency in it; None if it has none.
        """
        return replace(
            self, limits=joint_limits(self.limits, self.texts.get("latency_ms"), latency_ms)
        )

    def check_measured(
        self, records: Sequence[TrialRecord], objectives: Sequence[Objective]
    ) -> None:
        """Refuse a limit on a quantity that no trial has measured.

        Raises:
            UserError: names the quantity, and the objectives of the run.
        """
        measured = {name for record in records for name in (*record.metrics, *record.objectives)}
        if measured and (unknown := self.limits.keys() - measured):
            names = ", ".join(objective.name for objective in objectives)
            raise UserError(f"{min(unknown)} is not an objective of this run (it has {names})")


def parse_limits(limits: Mapping[str, Any]) -> dict[str, str | None]:
    """Return constraint -> text for limits from Python or the command line.

    Args:
        limits: ``min_accuracy``, ``max_latency`` or ``max_size`` -> text as in
            `results.limits`, such as ``"2ms"`` or ``"0.5x"``, or a number for an accuracy;
            ``max_latency_ms`` or ``max_size_bytes`` -> a number. None or ``"none"``: no limit.

    Raises:
        UserError: an unknown name, or a value that is not a limit of its kind.
    """
    found: dict[str, str | None] = {}
    for name, value in limits.items():
        key, unit = _IN_UNITS.get(name, (name, ""))
        if key not in LIMITED:
            choices = (*LIMITED, *_IN_UNITS)
            raise UnknownNameError(
                f"unknown limit '{name}'.{did_you_mean(str(name), choices)} Choose from "
                f"{', '.join(choices)}."
            )
        removed = value is None or str(value).strip().lower() == REMOVED
        found[key] = None if removed else _text(name, value, unit)
        if (text := found[key]) is not None:
            parse_limit(key, text)
    return found


def numeric_limits(
    min_accuracy: float | None, max_latency_ms: float | None, max_size_bytes: float | None
) -> dict[str, float]:
    """Return the limits that are not None, as `parse_limits` takes them."""
    given = {
        "min_accuracy": min_accuracy,
        "max_latency_ms": max_latency_ms,
        "max_size_bytes": max_size_bytes,
    }
    return {name: number for name, number in given.items() if number is not None}


def _text(name: str, value: Any, unit: str) -> str:
    if name == "min_accuracy" and isinstance(value, int | float) and not 0 <= value <= 1:
        raise UserError(f"min_accuracy: must be in 0..1 (0.9 is 90 %), but got {value}")
    if unit and not (isinstance(value, int | float) and value > 0):
        raise UserError(f"{name}: must be a number above 0, but got {shortened(value)}")
    # float(): the repr of np.float64(0.9) has the type's name in it.
    return f"{float(value)!r}{unit}" if isinstance(value, int | float) else str(value)


def resolve(texts: Mapping[str, str | None], baseline: Mapping[str, float]) -> dict[str, float]:
    """Return measured quantity -> limit, in its own unit, for every limit that is not None.

    Args:
        texts: from `parse_limits`.
        baseline: its measurements, comparable with the limited values.

    Raises:
        UserError: a limit relative to a value that the baseline lacks, or one that no trial can
            satisfy.
    """
    given = {name: text for name, text in texts.items() if text is not None}
    for name, text in given.items():
        if LIMITED[name] not in baseline and is_relative(text):
            raise UserError(
                f"{name} {text}: the run's baseline has no {LIMITED[name]} to compare with; give "
                "an absolute value"
            )
    return resolve_limits(given, {**dict.fromkeys(LIMITED.values(), 1.0), **baseline})


def is_relative(text: str | None) -> bool:
    """Return whether a limit is relative to the baseline."""
    text = (text or "").strip()
    return text[-1:] in ("x", "×") or text[:1] in ("+", "-")


def search_limits(manifest: Mapping[str, Any]) -> LimitView:
    """Return the limits of a search, with the text that the user gave.

    Args:
        manifest: the content of run.json.
    """
    asked = manifest.get("config", {}).get("constraints") or {}
    texts = {LIMITED[name]: str(text) for name, text in asked.items() if text is not None}
    return LimitView(manifest.get("limits", {}), texts)


def looser_limits(run: Mapping[str, float], view: Mapping[str, float]) -> dict[str, float]:
    """Return the looser of two limits, for every quantity that both limit.

    Trials within these limits are ranked. Then the view narrows the front, by joint latencies if
    there are any, as the search's own limits do.
    """
    return {
        name: max(run[name], view[name])
        if OBJECTIVES[name].direction == "minimize"
        else min(run[name], view[name])
        for name in run.keys() & view.keys()
    }


def narrow_front(front: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Return the members that may satisfy limits, with the member of `pick_row` as the knee.

    No member is the knee if only unstable latencies leave open whether a limit is satisfied.

    Args:
        front: from `Run.front`, with limits that are no tighter.
        limits: limits on columns of the front.
    """
    kept = np.array([may_keep(limits, row) for row in rows_of(front)], dtype=bool)
    if not kept.any():
        return front[kept]
    sure = any(keeps(limits, row) for row in rows_of(front))
    knee = pick_row(front, "knee", limits) if sure else -1
    front = front.assign(knee=np.arange(len(front)) == knee)
    return front[kept].reset_index(drop=True)
