"""The stopping rule: ends a trial that cannot join the front, or that lags behind its peers.

At each rung three rules are applied, in this order. A trial is stopped if

1. its size or latency breaks a limit of the search. Both are known before training, and each has
   a margin for the error of the preview.
2. a complete trial would dominate it even at the highest accuracy that can be expected: that of
   the baseline or the teacher, and a margin.
3. more than half of its peers are better. The peers are the other trials that reached the same
   rung; a peer is better if fewer of the group dominate it.

The third rule does not apply before training, when accuracy says nothing; if no peer dominates the
trial; among fewer than 4 peers; and if the trial's own latency is unstable, because that may be
too high. Doubt is in the trial's favour: a peer counts with its accuracy minus one standard error
of the difference between two trials. If weights are still to be rounded, a peer counts with its
accuracy after rounding now, and the trial with its accuracy before.

The third rule is asynchronous successive halving (Li et al., "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020, arXiv:1810.05934) with several objectives (Schmucker et al.,
"Multi-objective Asynchronous Successive Halving", 2021, arXiv:2106.12639). It ranks by the number
of dominators, and it never stops a trial that none dominates. On 594 tabulated trials stopping
gained with the standard error and lost without it; see benchmarks/search_quality.py.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from slimtune.results import stop_reason
from slimtune.results.interval import standard_error
from slimtune.results.objectives import Objective, parse_objectives
from slimtune.results.pareto.front import dominators
from slimtune.results.pareto.limit_view import search_limits
from slimtune.results.pareto.limits import keeps, violations
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed
from slimtune.search.trial.lookout import AT_LEAST, STRUCTURE
from slimtune.search.trial.spec import Outcome

PEERS = 4
"""Fewest peers with which a trial is compared."""

SIZE_MARGIN, LATENCY_MARGIN = 1.05, 1.25
"""Factors by which the final file may be smaller, or faster, than the previewed one."""

ACCURACY_MARGIN = 0.01
"""Accuracy that a trial may gain over the baseline, because fine-tuning continues its training."""

_MARGINS = {"size_bytes": SIZE_MARGIN, "latency_ms": LATENCY_MARGIN}


class StoppingRule:
    """The judge of a search; it learns from every trial that reaches a rung or its end.

    Its memory can be rebuilt from the records of a run; see `learn`.

    Args:
        objectives: of the run.
        limits: measured quantity -> limit, as in `results.pareto.limits`.
        ceiling: highest accuracy that a trial is expected to reach, 0..1; see `ceiling_of`.
        images: number of validation images, on which accuracies are measured.
        limit_texts: measured quantity -> its limit as the user wrote it, whose unit reasons use.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        limits: Mapping[str, float],
        *,
        ceiling: float,
        images: int,
        limit_texts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._objectives = tuple(objectives)
        self._limits = dict(limits)
        self._limit_texts = dict(limit_texts)
        self._ceiling = ceiling
        self._images = images
        self._rungs: dict[str, dict[int, Mapping[str, float]]] = {}
        self._complete: dict[int, Mapping[str, float]] = {}

    def __call__(self, outcome: Outcome) -> str:
        """Return why a trial must end at its rung; empty if it may continue."""
        peers = self._rungs.setdefault(outcome.rung, {})
        peers[outcome.number] = outcome.payload.rungs[outcome.rung]
        measured = {**outcome.payload.metrics, **outcome.objectives}
        why = self._breaks(measured) or self._hopeless(measured)
        if not why and outcome.rung != STRUCTURE and measured.get("latency_stable") is not False:
            why = self._behind(outcome.number, peers)
        return f"{stop_reason.rung_words(outcome.rung)}: {why}" if why else ""

    def learn(self, record: TrialRecord) -> None:
        """Learn from a trial that has ended, in this process or in an earlier one."""
        if record.status == "failed":  # its values at rungs may be wrong too
            for peers in self._rungs.values():
                peers.pop(record.number, None)
            return
        for rung, values in record.rungs.items():
            self._rungs.setdefault(rung, {})[record.number] = values
        measured = record.measured
        if record.status == "complete" and keeps(self._limits, measured):
            self._complete[record.number] = record.objectives

    def _breaks(self, measured: Mapping[str, Any]) -> str:
        """Return the limit that the trial breaks even within its margin; empty if none."""
        best = self._at_best(measured)
        for name, excess in violations(self._limits, best).items():
            if excess > 0 and name in _MARGINS:
                limit, text = self._limits[name], self._limit_texts.get(name, "")
                return stop_reason.limit_reason(name, float(measured[name]), limit, text)
        return ""

    def _hopeless(self, measured: Mapping[str, Any]) -> str:
        """Return the complete trial that would dominate it at its best; empty if none."""
        best = self._at_best({**measured, "accuracy": self._ceiling})
        names = [each.name for each in self._objectives if each.name in best]
        if len(names) < len(self._objectives):
            return ""
        for number, objectives in self._complete.items():
            if self._dominators([best, objectives], names)[0]:
                return stop_reason.hopeless_reason(number, self._ceiling)
        return ""

    def _behind(self, number: int, peers: Mapping[int, Mapping[str, float]]) -> str:
        """Return how many peers are better, if these are more than half; else an empty string."""
        own = peers[number]
        names = [each.name for each in self._objectives if each.name in own]
        others = [
            values for peer, values in peers.items() if peer != number and {*names} <= {*values}
        ]
        if len(others) < PEERS:
            return ""
        group = [own, *others]
        at_worst = [{**row, "accuracy": self._at_worst(row)} for row in group]
        mine, *theirs = self._dominators(group, names, at_worst)
        better = sum(count < mine for count in theirs)
        if mine == 0 or 2 * better <= len(others):
            return ""
        return stop_reason.behind_reason(better, len(others))

    def _at_worst(self, rung: Mapping[str, float]) -> float:
        """Return the lowest accuracy that a trial plausibly has, 0..1.

        It is one standard error of the difference between two trials lower than measured.
        """
        sure = rung.get(AT_LEAST, rung["accuracy"])
        return max(0.0, sure - math.sqrt(2) * standard_error(sure, self._images))

    def _at_best(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Return the quantities that are certain, at their best within their margins."""
        if not measured.get("structure_certain"):
            return {}
        unsure = () if measured.get("latency_stable") else ("latency_ms",)
        return {
            name: value / _MARGINS.get(name, 1.0) if name in _MARGINS else value
            for name, value in measured.items()
            if name not in unsure
        }

    def _dominators(
        self,
        values: Sequence[Mapping[str, Any]],
        names: Sequence[str],
        at_worst: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        directions = [each.direction for each in self._objectives if each.name in names]
        table, worst = (
            np.array([[row[name] for name in names] for row in rows], dtype=float)
            for rows in (values, at_worst or values)
        )
        counts: list[int] = dominators(table, directions, worst).tolist()
        return counts


def open_rule(folder: RunFolder) -> StoppingRule:
    """Return the stopping rule of a run, which has learned from its trials so far.

    Raises:
        RunError: a record is damaged.
    """
    networks = [folder.baseline()]
    if (teacher := folder.path / "teacher" / "result.json").is_file():
        networks.append(read_sealed(teacher))
    objectives = parse_objectives(folder.manifest["objectives"])
    searched = search_limits(folder.manifest)
    images = folder.manifest["workload"]["validation"]
    rule = StoppingRule(
        objectives,
        searched.limits,
        ceiling=ceiling_of(networks),
        images=images,
        limit_texts=searched.texts,
    )
    for record in folder.records():
        rule.learn(record)
    return rule


def ceiling_of(networks: Iterable[Mapping[str, Any]]) -> float:
    """Return the accuracy that no trial is expected to exceed, 0..1.

    Args:
        networks: the records of the baseline, and of the teacher if there is one.
    """
    best = max(
        float({**record.get("metrics", {}), **record["objectives"]}["accuracy"])
        for record in networks
    )
    return min(1.0, best + ACCURACY_MARGIN)
