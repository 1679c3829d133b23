"""A finished, or a still running, search, opened for reading; users hold `search.opened.Run`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from slimtune.errors import NothingMatchesError, UserError
from slimtune.results.delivery.delivery import unfinished_message
from slimtune.results.member import Loader, Member
from slimtune.results.objectives import OBJECTIVES, Objective
from slimtune.results.pareto import limit_view
from slimtune.results.pareto.caveats import add_caveats
from slimtune.results.pareto.front import hypervolume
from slimtune.results.pareto.growth import box_volume, growth_table
from slimtune.results.pareto.membership import Membership
from slimtune.results.pareto.selection import nearest_miss, pick_row
from slimtune.results.pareto.trial_table import best_first, table_of, values_of, with_knee
from slimtune.results.reprs import RunRepr
from slimtune.results.store.finals import FinalKey, final_keys, record_of, what_ships
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, read_joint
from slimtune.results.store.record import TrialRecord


@dataclass(frozen=True, repr=False)
class Run(RunRepr):
    """A run folder opened for reading. Every call reads the folder as it is now.

    Attributes:
        folder: the files.
        snapshot: the records, if they have been read; see `at`.
        loader: how its members become torch modules.
        view: the limits that it is seen with, and their texts, if not its own; see `within`.
    """

    folder: RunFolder
    snapshot: tuple[TrialRecord, ...] | None = None
    loader: Loader | None = None
    view: limit_view.LimitView | None = None

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of run.json."""
        return self.folder.manifest

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the run optimised, in the order it was asked for."""
        return tuple(OBJECTIVES[name] for name in self.manifest["objectives"])

    @property
    def limits(self) -> dict[str, float]:
        """What every member of the front keeps: measured quantity -> limit, in its unit."""
        return dict(self._limit_view.limits)

    @property
    def limit_texts(self) -> dict[str, str]:
        """Measured quantity -> its limit as the user wrote it."""
        return dict(self._limit_view.texts)

    def within(self, limits: Mapping[str, Any]) -> "Run":
        """Return the run seen with other limits, tighter or looser than its search's.

        Args:
            limits: ``min_accuracy``, ``max_latency``, ``max_size`` -> what a search takes, such
                as 0.9, ``"-1%"``, ``"2ms"``, ``"0.5x"``, ``"300kB"``. None or ``"none"`` takes a
                limit away; what is not named is limited as before.

        Raises:
            UserError: no such limit, or one against what the baseline has not measured.
        """
        asked = limit_view.parse_limits(limits)
        if not asked:
            return self
        seen = self._with_limits(asked, self.front())
        if any(map(limit_view.is_relative, asked.values())):
            seen = self._with_limits(
                asked, seen.front()
            )  # its latencies may be of another measurement
        return seen

    @property
    def records(self) -> list[TrialRecord]:
        """The records of all finished trials, complete, stopped and failed, by number."""
        return self.folder.records() if self.snapshot is None else list(self.snapshot)

    def at(self, records: Sequence[TrialRecord]) -> "Run":
        """Return the run as it is with these trials: nothing of them is read again.

        Args:
            records: in any order.
        """
        return replace(self, snapshot=tuple(sorted(records, key=lambda record: record.number)))

    @property
    def baseline(self) -> dict[str, Any]:
        """The baseline's record: ``objectives`` and what else was measured of it."""
        return self.folder.baseline()

    def finals(self) -> dict[FinalKey, TrialRecord]:
        """Return the records of all finals, complete and failed, of every length, in order.

        Raises:
            RunError: a record is damaged.
        """
        return {key: record_of(self.folder, key) for key in final_keys(self.folder)}

    def front(self, limits: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the trials that no other trial dominates, the most accurate first.

        Trials that break a limit of the search take no part; `nearest_miss` tells of them when no
        trial is left.

        Args:
            limits: other limits than the search's; see `within`.

        Columns: ``trial``; one an objective, in its unit; ``test_accuracy`` if it was measured;
        ``accuracy_standard_error``; ``pipeline``; ``within_noise_of``, ``collapsed`` (see
        `results.pareto.caveats`); ``knee`` (True in one row); ``size_ratio`` and
        ``latency_ratio``, how many times smaller and faster than the baseline.

        When the joint measurement covers every member, ``latency_ms`` is the one measured
        together, the trial's own moves to ``trial_latency_ms``, and members that the better
        measurement shows to be dominated are left out. ``test_standard_error`` and ``stable``
        come with it. A joint measurement that misses a member (trials were added since) gives
        test accuracies only, because latencies of two measurements do not rank.

        After finals, every value in a row is of the final that ships (``final`` names its folder
        in ``finals/``), the front is that of these files, and ``repeats``, ``accuracy_mean``,
        ``accuracy_sd``, ``test_accuracy_mean`` and ``test_accuracy_sd`` tell of all finals of the
        member: sample standard deviations, NaN for a single one. Where trials were added since,
        the front is still that of the finals until the search ends again.

        Raises:
            UserError: as `within`.
            RunError: a record is damaged.
        """
        run = self.at(self.records).within(limits or {})
        table = run._front()
        if run.view is None:
            return table
        return limit_view.narrow_front(table, run._membership.limits_of(table))

    def _front(self) -> pd.DataFrame:
        """Return the front of all trials that entered it, before a view narrows it."""
        table = best_first(self._membership.members_within_limits(), self.objectives)
        baseline = self.baseline_values(table)
        table = add_caveats(table, self.records, self.manifest["workload"], baseline)
        return with_knee(table, baseline)

    def baseline_values(self, front: pd.DataFrame) -> dict[str, float]:
        """Return what the baseline measured that is comparable with a front.

        Args:
            front: from `front`; where its latencies were measured together, so is the one here.

        Returns:
            Objective name -> value, and ``test_accuracy`` and ``test_standard_error`` if they
            were measured; empty while there is no baseline.

        Raises:
            RunError: the baseline's record is damaged.
        """
        if not (self.path / "baseline" / "result.json").is_file():
            return {}
        values = dict(self.baseline["objectives"])
        row = next((row for row in read_joint(self.path) if row.trial is None), None)
        if row is not None:
            together = row.latency_ms if "trial_latency_ms" in front else None
            measured = {
                "latency_ms": together,
                "test_accuracy": row.test_accuracy,
                "test_standard_error": row.test_error(self._test_images),
            }
            values |= {name: value for name, value in measured.items() if value is not None}
        return values

    def pick(
        self,
        how: str = "knee",
        *,
        min_accuracy: float | None = None,
        max_latency_ms: float | None = None,
        max_size_bytes: float | None = None,
        limits: dict[str, Any] | None = None,
    ) -> Member:
        """Return one member of the front.

        A limit that is given here takes the place of the search's.

        Args:
            how: "knee", "accuracy", "size" or "latency".
            min_accuracy: validation accuracy, 0..1.
            max_latency_ms: above 0.
            max_size_bytes: above 0.
            limits: the same with units, against the baseline, or taken away; see `within`.

        Raises:
            UserError: an unknown ``how``, or a limit that makes no sense for this run.
            NothingMatchesError: no member keeps the limits; names the nearest miss.
        """
        run = self.at(self.records).within(
            (limits or {})
            | limit_view.numeric_limits(min_accuracy, max_latency_ms, max_size_bytes)
        )
        front = run._front()
        if front.empty and (missed := run.nearest_miss()):
            raise NothingMatchesError(missed)
        row = pick_row(front, how, run._membership.limits_of(front), run.limit_texts)
        return run.trial(int(front["trial"].iloc[row]))

    def nearest_miss(self) -> str:
        """Return which complete trial comes nearest to the constraints, if none keeps them.

        Empty if one does, or if there is nothing to tell of.
        """
        complete = [record for record in self.records if record.status == "complete"]
        if not self.limits or not complete or not self.front().empty:
            return ""
        membership = self._membership
        members = membership.members()  # kept the limits until they were measured together
        if not members.empty:
            return nearest_miss(members, membership.limits_of(members), self.limit_texts)
        finals = [r for r in membership.sources()[0] if r.status == "complete"]  # each broke one
        measured = [{"trial": r.number, **r.measured} for r in finals or complete]
        return nearest_miss(pd.DataFrame(measured), self.limits, self.limit_texts)

    @property
    def _test_images(self) -> Any:
        return self.manifest["workload"].get("test")

    def candidates(self) -> list[TrialRecord]:
        """Return the trials that keep the limits and that no other such trial dominates.

        By what the trials themselves measured, so that it changes only when trials are added; but
        an unstable latency breaks no limit.

        Raises:
            RunError: a record is damaged.
        """
        return self._membership.candidates()

    def contenders(self) -> list[TrialRecord]:
        """Return the trials that may be on the front once latencies are measured together.

        The candidates are among them, and what only the noise of a latency keeps from being one.

        Raises:
            RunError: a record is damaged.
        """
        return self._membership.contenders()

    def standing(self, rows: Sequence[JointRow]) -> list[int]:
        """Return which trials are on the front by latencies that were measured together.

        Args:
            rows: one a contender, and the baseline's.
        """
        return self._membership.standing(rows)

    @property
    def _limit_view(self) -> limit_view.LimitView:
        return self.view or limit_view.search_limits(self.manifest)

    @property
    def _membership(self) -> Membership:
        searched = limit_view.search_limits(self.manifest)
        return Membership(self.folder, self.records, self.objectives, searched, self._limit_view)

    def _with_limits(self, asked: Mapping[str, str | None], front: pd.DataFrame) -> "Run":
        view = self._limit_view.with_limits(asked, self.baseline_values(front))
        view.check_measured(self.records, self.objectives)
        return replace(self, view=view)

    def trial(self, number: int) -> Member:
        """Return a complete trial, on the front or not, as what it ships: its final if it has one.

        Raises:
            UserError: there is no such trial, or it failed or was stopped.
            RunError: its record is damaged.
        """
        record, path = what_ships(self.folder, number)
        if record.status != "complete":
            raise UserError(unfinished_message(self.path, record))
        return Member(record.number, record, path, self.folder, self.loader)

    def hypervolume(self) -> float:
        """Return the volume between the trials and the run's fixed reference point.

        From the values that the trials reported, never from the joint measurement, so that it
        only grows while a search goes on. In the product of the objectives' units. Trials that
        break a constraint of the search count nothing.
        """
        complete = self._membership.complete()
        reference = [self.manifest["reference_point"][o.name] for o in self.objectives]
        directions = [o.direction for o in self.objectives]
        return hypervolume(values_of(complete, self.objectives), reference, directions)

    def growth(self) -> pd.DataFrame:
        """Return ``trial``, and ``hypervolume``: what all trials up to this one have won.

        As a share of the box between the run's reference point and an accuracy of 1 at no bytes
        and in no time: 0..1, comparable between runs on the same baseline. In the product of the
        objectives' units where an objective has no best value. Failed and stopped trials, and
        those that break a constraint, win nothing.
        """
        return growth_table(
            self.records,
            self._membership.complete(),
            self.objectives,
            self.manifest["reference_point"],
        )

    def hypervolume_share(self) -> float:
        """Return the last value of `growth`, 0 without a trial."""
        return self.hypervolume() / (
            box_volume(self.objectives, self.manifest["reference_point"]) or 1.0
        )

    def trials(self) -> pd.DataFrame:
        """Return all finished trials, by number, the front among them.

        Columns: ``trial``, ``status``, one an objective as the trial itself measured it (NaN
        where it did not), ``accuracy_standard_error``, ``pipeline``, ``on_front``, ``collapsed``
        and ``error``.
        """
        records = self.records
        table = table_of(records, self.objectives)
        table.insert(1, "status", [record.status for record in records])
        baseline = self.baseline_values(table)
        table = add_caveats(table, records, self.manifest["workload"], baseline)
        table = table.drop(columns="within_noise_of", errors="ignore")
        table["on_front"] = table["trial"].isin(self.front()["trial"])
        table["error"] = pd.Series([record.error for record in records], dtype=object)
        return table


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading, also while a search writes to it, without what loads models.

    Raises:
        RunError: it is not a slimtune run, is damaged, or has another schema.
    """
    return Run(RunFolder.open(path))
