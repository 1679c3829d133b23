"""Which trials are on the front, by their own latencies or by the joint measurement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from slimtune.results.objectives import Objective
from slimtune.results.pareto.contenders import contenders, front_candidates
from slimtune.results.pareto.front import non_dominated
from slimtune.results.pareto.limit_view import LimitView, looser_limits
from slimtune.results.pareto.limits import keeps, may_keep
from slimtune.results.pareto.trial_table import table_of, values_of, within_limits
from slimtune.results.store.finals import front_sources
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, baseline_latency, read_joint, with_joint
from slimtune.results.store.record import TrialRecord


@dataclass(frozen=True)
class Membership:
    """The trials of a run at one moment, and the limits that apply to them.

    Attributes:
        folder: the run folder.
        records: records of all finished trials, by number.
        objectives: the run's objectives.
        search_limits: the limits of the search.
        view: the limits that the user asks for; by default the search's.
    """

    folder: RunFolder
    records: Sequence[TrialRecord]
    objectives: Sequence[Objective]
    search_limits: LimitView
    view: LimitView

    def candidates(self) -> list[TrialRecord]:
        """Return the trials that may satisfy the limits and that no other such trial dominates."""
        complete = self.complete(self._entry(), may_keep)
        mask = self._mask(values_of(complete, self.objectives))
        return [record for record, kept in zip(complete, mask, strict=True) if kept]

    def contenders(self) -> list[TrialRecord]:
        """Return the candidates, and the trials that only the noise of a latency excludes."""
        among = {r.number for r in contenders(self.records, self.objectives, self._entry())}
        # An unstable latency breaks no limit there, so a candidate may be missing here.
        among |= {record.number for record in self.candidates()}
        return [record for record in self.records if record.number in among]

    def standing(self, rows: Sequence[JointRow]) -> list[int]:
        """Return the trials on the front by the joint measurement; see `Run.standing`.

        Args:
            rows: one row per contender, and the baseline's.
        """
        table = self._joint_table(self._candidates_of(rows), rows)
        kept = within_limits(table, self.limits_of(table, rows))
        return [int(number) for number in kept["trial"]]

    def sources(self) -> tuple[list[TrialRecord], list[JointRow]]:
        """Return the records that the front ranks; see `finals.front_sources`."""
        return front_sources(self.folder, self._candidates_of)

    def members(self) -> pd.DataFrame:
        """Return the non-dominated trials, in any order, within the limits on other quantities."""
        return self._joint_table(*self.sources())

    def members_within_limits(self) -> pd.DataFrame:
        """Return the members within the looser of the search's limits and the view's."""
        table = self.members()
        return within_limits(table, self._entry(self._baseline_beside(table)))

    def complete(
        self,
        limits: Mapping[str, float] | None = None,
        keeps: Callable[..., bool] = keeps,
    ) -> list[TrialRecord]:
        """Return the complete trials that satisfy limits.

        Args:
            limits: measured quantity -> limit; the view's, if not given.
            keeps: `keeps`, or `may_keep`.
        """
        limits = self.view.limits if limits is None else limits
        return [
            record
            for record in self.records
            if record.status == "complete" and keeps(limits, record.measured)
        ]

    def limits_of(
        self, table: pd.DataFrame, rows: Sequence[JointRow] | None = None
    ) -> dict[str, float]:
        """Return the limits on a table's columns, for the joint measurement if it has one.

        Args:
            table: from `members`.
            rows: the joint measurement; by default the run folder's.
        """
        limits = self.view.for_joint(self._baseline_beside(table, rows)).limits
        return {name: limit for name, limit in limits.items() if name in table}

    def _joint_table(
        self, records: Sequence[TrialRecord], rows: Sequence[JointRow]
    ) -> pd.DataFrame:
        unseen = self._limits_without_column
        kept = [r for r in records if may_keep(unseen, r.measured)]
        images = self.folder.manifest["workload"].get("test")
        # Joint latencies replace the trials' own before the trials are ranked.
        table = with_joint(table_of(kept, self.objectives), rows, images)
        return table[self._mask(table[[o.name for o in self.objectives]].to_numpy(float))]

    def _candidates_of(self, rows: Sequence[JointRow]) -> list[TrialRecord]:
        return front_candidates(self.candidates(), self.contenders, rows)

    @property
    def _limits_without_column(self) -> dict[str, float]:
        """Limits on quantities that are not objectives, and so have no column in a front."""
        names = [objective.name for objective in self.objectives]
        return {name: limit for name, limit in self.view.limits.items() if name not in names}

    def _entry(self, baseline_ms: float | None = None) -> dict[str, float]:
        """Return the limits for trials to be ranked, before a view narrows the front.

        Args:
            baseline_ms: the baseline's latency in the joint measurement, if it is used.
        """
        searched, seen = (view.for_joint(baseline_ms) for view in (self.search_limits, self.view))
        return {**looser_limits(searched.limits, seen.limits), **self._limits_without_column}

    def _baseline_beside(
        self, table: pd.DataFrame, rows: Sequence[JointRow] | None = None
    ) -> float | None:
        """Return the baseline's joint latency, if a table's latencies are joint ones."""
        if "trial_latency_ms" not in table:
            return None
        return baseline_latency(read_joint(self.folder.path) if rows is None else rows)

    def _mask(self, values: np.ndarray) -> np.ndarray:
        return non_dominated(values, [objective.direction for objective in self.objectives])
