"""When a trial ends before its end: it cannot join the front, or it lags behind its peers.

Three rules, in this order, wherever a trial shows itself to its judge:

1. A limit of the search is broken by what is settled before training: the size of the file and
   its latency, each with a margin for how well it is known.
2. A complete trial would dominate it even if it came out as accurate as the baseline and a bit.
3. Of its peers, the trials that came to the same rung, more than half are dominated by fewer.
   Never if no peer dominates it, not among fewer than 4 peers, and not by an unstable latency,
   which may be too high; that of a peer only makes it the weaker. The doubt is in the trial's
   favour: a peer counts with its accuracy less one standard error of the difference between two
   such, for a lead that other images could turn round is none; and, where weights are still to
   be rounded, which costs an accuracy that nobody knows yet, with what is left when they are just
   rounded now, the trial itself with what it has.

Before training, accuracy tells nothing of what comes, and the third rule has no say.

The third is asynchronous successive halving (Li et al., "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020, arXiv:1810.05934) with several objectives (Schmucker et al.,
"Multi-objective Asynchronous Successive Halving", 2021, arXiv:2106.12639), ranked by the number
of dominators and with a pardon for whatever none dominates. On 594 tabulated trials the standard
error made the difference between losing and saving: see benchmarks/README.md.
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
from slimtune.results.pareto.limit_view import searched_with
from slimtune.results.pareto.limits import keeps, violations
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed
from slimtune.search.trial.lookout import AT_LEAST, STRUCTURE
from slimtune.search.trial.spec import Outcome

PEERS = 4
"""Fewest others that a trial is compared with."""

SIZE_MARGIN, LATENCY_MARGIN = 1.05, 1.25
"""The file in the end may be so many times smaller, or faster, than the one foreseen."""

ACCURACY_MARGIN = 0.01
"""What compression may gain over the baseline: fine-tuning goes on where its training ended."""

_MARGINS = {"size_bytes": SIZE_MARGIN, "latency_ms": LATENCY_MARGIN}


class StoppingRule:
    """The judge of a search; it learns from every trial that comes to a rung or to its end.

    Its memory can be made again from the records of a run: see `learn`.

    Args:
        objectives: of the run.
        limits: measured quantity -> limit, as in `results.limits`.
        ceiling: highest accuracy that a trial is expected to come to, see `ceiling_of`.
        images: of the validation split, on which accuracies are measured.
        limit_texts: measured quantity -> its limit as the user wrote it, whose unit reasons use.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        limits: Mapping[str, float],
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
        """Return why a trial shall end where it stands, or nothing if it shall go on."""
        peers = self._rungs.setdefault(outcome.rung, {})
        peers[outcome.number] = outcome.payload.rungs[outcome.rung]
        measured = {**outcome.payload.metrics, **outcome.objectives}
        why = self._breaks(measured) or self._hopeless(measured)
        if not why and outcome.rung != STRUCTURE and measured.get("latency_stable") is not False:
            why = self._behind(outcome.number, peers)
        return f"{stop_reason.when(outcome.rung)}: {why}" if why else ""

    def learn(self, record: TrialRecord) -> None:
        """Take in a trial that has ended, in this process or in one before."""
        if record.status == "failed":  # what it showed on its way is not to be trusted
            for peers in self._rungs.values():
                peers.pop(record.number, None)
            return
        for rung, values in record.rungs.items():
            self._rungs.setdefault(rung, {})[record.number] = values
        measured = record.measured
        if record.status == "complete" and keeps(self._limits, measured):
            self._complete[record.number] = record.objectives

    def _breaks(self, measured: Mapping[str, Any]) -> str:
        """Return which limit is broken for sure."""
        best = self._at_best(measured)
        for name, excess in violations(self._limits, best).items():
            if excess > 0 and name in _MARGINS:
                limit, text = self._limits[name], self._limit_texts.get(name, "")
                return stop_reason.over_limit(name, float(measured[name]), limit, text)
        return ""

    def _hopeless(self, measured: Mapping[str, Any]) -> str:
        """Return which complete trial it cannot get past."""
        best = self._at_best({**measured, "accuracy": self._ceiling})
        names = [each.name for each in self._objectives if each.name in best]
        if len(names) < len(self._objectives):
            return ""
        for number, objectives in self._complete.items():
            if self._dominators([best, objectives], names)[0]:
                return stop_reason.beaten(number, self._ceiling)
        return ""

    def _behind(self, number: int, peers: Mapping[int, Mapping[str, float]]) -> str:
        """Return how far it is behind its peers, if it is in their worse half."""
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
        return stop_reason.behind(better, len(others))

    def _at_worst(self, rung: Mapping[str, float]) -> float:
        """Return the accuracy that a trial can be trusted to have, in comparison to another.

        One standard error of the difference lower, also where all images were right: on others
        one may be wrong.
        """
        sure = rung.get(AT_LEAST, rung["accuracy"])
        return max(0.0, sure - math.sqrt(2) * standard_error(sure, self._images))

    def _at_best(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is known for sure, at its best within its margin."""
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
    """Return the rule of a run, with what its trials have taught it so far.

    Raises:
        RunError: a record is damaged.
    """
    networks = [folder.baseline()]
    if (teacher := folder.path / "teacher" / "result.json").is_file():
        networks.append(read_sealed(teacher))
    objectives = parse_objectives(folder.manifest["objectives"])
    searched = searched_with(folder.manifest)
    images = folder.manifest["workload"]["validation"]
    ceiling = ceiling_of(networks)
    rule = StoppingRule(objectives, searched.limits, ceiling, images, searched.texts)
    for record in folder.records():
        rule.learn(record)
    return rule


def ceiling_of(networks: Iterable[Mapping[str, Any]]) -> float:
    """Return the accuracy that no trial is expected to beat.

    Args:
        networks: the records of the baseline, and of the teacher if there is one.
    """
    best = max(
        float({**record.get("metrics", {}), **record["objectives"]}["accuracy"])
        for record in networks
    )
    return min(1.0, best + ACCURACY_MARGIN)
