"""A run opened for reading, finished or still running; users get `search.opened.Run`."""

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
    """A run, opened for reading. Every call reads the folder as it is now.

    Attributes:
        folder: the run folder's files.
        snapshot: the records to use instead of reading them again; see `at`.
        loader: makes a torch module of a trial's folder.
        view: limits to use instead of the search's own; see `within`.
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
        """The objectives of the search, in the order of its settings."""
        return tuple(OBJECTIVES[name] for name in self.manifest["objectives"])

    @property
    def limits(self) -> dict[str, float]:
        """The limits that every member of the front satisfies: quantity -> limit, in its unit."""
        return dict(self._limit_view.limits)

    @property
    def limit_texts(self) -> dict[str, str]:
        """The same limits as the user wrote them: quantity -> text."""
        return dict(self._limit_view.texts)

    def within(self, limits: Mapping[str, Any]) -> "Run":
        """Return the run with other limits, tighter or looser than those of its search.

        Args:
            limits: ``min_accuracy``, ``max_latency``, ``max_size`` -> a limit as for `search`,
                such as 0.9, ``"-1%"``, ``"2ms"``, ``"0.5x"``, ``"300kB"``. None or ``"none"``
                removes a limit. Limits that are not named stay as they are.

        Raises:
            UserError: an unknown limit, or one relative to a value that the baseline lacks.
        """
        asked = limit_view.parse_limits(limits)
        if not asked:
            return self
        seen = self._with_limits(asked, self.front())
        if any(map(limit_view.is_relative, asked.values())):
            seen = self._with_limits(
                asked, seen.front()
            )  # its latencies may come from another measurement
        return seen

    @property
    def records(self) -> list[TrialRecord]:
        """The records of all finished trials, complete, stopped and failed, by number."""
        return self.folder.records() if self.snapshot is None else list(self.snapshot)

    def at(self, records: Sequence[TrialRecord]) -> "Run":
        """Return the run with these records, so that nothing reads them from the folder again.

        Args:
            records: the records, in any order.
        """
        return replace(self, snapshot=tuple(sorted(records, key=lambda record: record.number)))

    @property
    def baseline(self) -> dict[str, Any]:
        """The baseline's record: ``objectives`` and other measurements."""
        return self.folder.baseline()

    def finals(self) -> dict[FinalKey, TrialRecord]:
        """Return the records of all finals, complete and failed, of every length, in order.

        Raises:
            RunError: a record is damaged.
        """
        return {key: record_of(self.folder, key) for key in final_keys(self.folder)}

    def front(self, limits: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the trials that no other trial dominates, the most accurate first.

        Trials that break a limit of the search are left out. If no trial is left, `nearest_miss`
        says which one comes closest.

        Args:
            limits: limits to use instead of the search's; see `within`.

        Columns: ``trial``; one column per objective, in its unit; ``test_accuracy`` if it was
        measured; ``accuracy_standard_error``; ``pipeline``; ``within_noise_of`` and ``collapsed``
        (see `results.pareto.caveats`); ``knee``, True in one row; ``size_ratio`` and
        ``latency_ratio``, how many times smaller and faster than the baseline.

        If the joint measurement covers every member, ``latency_ms`` comes from it, and
        ``trial_latency_ms`` holds what the trial measured itself. Members that are dominated by
        the joint values are left out, and the columns ``test_standard_error`` and ``stable`` are
        added. If trials were added since, so that the joint measurement misses a member, only its
        test accuracies are used: latencies of two measurements cannot be ranked.

        After finals, the values in a row are those of the final that ships, and ``final`` names
        its folder in ``finals/``. ``repeats``, ``accuracy_mean``, ``accuracy_sd``,
        ``test_accuracy_mean`` and ``test_accuracy_sd`` describe all finals of the member, with
        sample standard deviations, NaN for a single final. If trials were added since, the front
        stays that of the finals until the search ends again.

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
        """Return the front before the limits of a view narrow it."""
        table = best_first(self._membership.members_within_limits(), self.objectives)
        baseline = self.baseline_values(table)
        table = add_caveats(table, self.records, self.manifest["workload"], baseline)
        return with_knee(table, baseline)

    def baseline_values(self, front: pd.DataFrame) -> dict[str, float]:
        """Return the baseline's values that are comparable with a front.

        Args:
            front: from `front`. If its latencies come from the joint measurement, so does the
                baseline's.

        Returns:
            Objective name -> value, with ``test_accuracy`` and ``test_standard_error`` if they
            were measured. Empty while there is no baseline.

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

        A limit that you give here replaces the search's own.

        Args:
            how: "knee"; or "accuracy", "size" or "latency" for the best in that objective.
            min_accuracy: lowest validation accuracy, 0..1.
            max_latency_ms: highest latency in ms, above 0.
            max_size_bytes: largest file in bytes, above 0.
            limits: limits as text, with a unit or relative to the baseline; see `within`.

        Raises:
            UserError: an unknown ``how``, or a limit that this run cannot have.
            NothingMatchesError: no trial is within the limits; the message names the nearest miss.
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
        """Return which trial comes closest to the limits, in one line, if none is within them.

        Empty if a trial is within the limits, and if there are no limits or no complete trials.
        """
        complete = [record for record in self.records if record.status == "complete"]
        if not self.limits or not complete or not self.front().empty:
            return ""
        membership = self._membership
        members = membership.members()  # within the limits by their own latencies only
        if not members.empty:
            return nearest_miss(members, membership.limits_of(members), self.limit_texts)
        finals = [
            r for r in membership.sources()[0] if r.status == "complete"
        ]  # each breaks a limit
        measured = [{"trial": r.number, **r.measured} for r in finals or complete]
        return nearest_miss(pd.DataFrame(measured), self.limits, self.limit_texts)

    @property
    def _test_images(self) -> Any:
        return self.manifest["workload"].get("test")

    def candidates(self) -> list[TrialRecord]:
        """Return the trials within the limits that no other such trial dominates.

        It uses the values that the trials measured themselves, so the result changes only when
        trials are added. An unstable latency breaks no limit.

        Raises:
            RunError: a record is damaged.
        """
        return self._membership.candidates()

    def contenders(self) -> list[TrialRecord]:
        """Return the trials that may be on the front after a joint measurement.

        They are the candidates, and the trials that only the noise of a latency keeps from being
        candidates.

        Raises:
            RunError: a record is damaged.
        """
        return self._membership.contenders()

    def standing(self, rows: Sequence[JointRow]) -> list[int]:
        """Return the numbers of the trials on the front by the joint measurement.

        Args:
            rows: one row per contender, and the baseline's.
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
        """Return a complete trial, on the front or not: the final that ships, if it has one.

        Raises:
            UserError: there is no such trial, or it failed or was stopped.
            RunError: its record is damaged.
        """
        record, path = what_ships(self.folder, number)
        if record.status != "complete":
            raise UserError(unfinished_message(self.path, record))
        return Member(record.number, record, path, self.folder, self.loader)

    def hypervolume(self) -> float:
        """Return the volume that the trials dominate, down to the run's fixed reference point.

        The unit is the product of the objectives' units. It uses the values that the trials
        measured themselves, not the joint measurement, so it never shrinks during a search.
        Trials that break a limit add nothing.
        """
        complete = self._membership.complete()
        reference = [self.manifest["reference_point"][o.name] for o in self.objectives]
        directions = [o.direction for o in self.objectives]
        return hypervolume(values_of(complete, self.objectives), reference, directions)

    def growth(self) -> pd.DataFrame:
        """Return ``trial`` and ``hypervolume``: the volume that the trials so far dominate.

        It is a share, 0..1, of the box between the run's reference point and the ideal, an
        accuracy of 1 with no bytes and no time: comparable between runs on the same baseline. If
        an objective has no best value, it is in the product of the objectives' units. Failed
        trials, stopped trials and trials that break a limit add nothing.
        """
        return growth_table(
            self.records,
            self._membership.complete(),
            self.objectives,
            self.manifest["reference_point"],
        )

    def hypervolume_share(self) -> float:
        """Return the last value of `growth`; 0 if there is no trial."""
        return self.hypervolume() / (
            box_volume(self.objectives, self.manifest["reference_point"]) or 1.0
        )

    def trials(self) -> pd.DataFrame:
        """Return all finished trials, by number.

        Columns: ``trial``, ``status``, one column per objective as the trial measured it (NaN if
        it did not), ``accuracy_standard_error``, ``pipeline``, ``on_front``, ``collapsed`` and
        ``error``.
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
    """Open a run folder for reading, without a loader of models; a search may be writing to it.

    Raises:
        RunError: it is not a slimtune run, is damaged, or has another schema.
    """
    return Run(RunFolder.open(path))
