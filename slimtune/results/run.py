"""The object that users hold: a finished, or a still running, search, opened for reading."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slimtune.errors import NothingMatchesError, UserError
from slimtune.results.caveats import add_caveats
from slimtune.results.delivery import unfinished_message
from slimtune.results.final import FinalRow, read_final, with_final
from slimtune.results.finals import FinalKey, delivered, final_keys, record_of, what_ships
from slimtune.results.folder import RunFolder
from slimtune.results.front import hypervolume, non_dominated
from slimtune.results.growth import box, volumes
from slimtune.results.limits import keeps
from slimtune.results.member import Loader, Member
from slimtune.results.objectives import OBJECTIVES, Objective
from slimtune.results.record import TrialRecord
from slimtune.results.selection import front_knee, nearest_miss, pick

_RATIOS = {"size_bytes": "size_ratio", "latency_ms": "latency_ratio"}


@dataclass(frozen=True)
class Run:
    """A run folder opened for reading. Every call reads the folder as it is now.

    Attributes:
        folder: the files.
        known: the records, if they have been read; see `at`.
        loader: how its members become torch modules.
    """

    folder: RunFolder
    known: tuple[TrialRecord, ...] | None = None
    loader: Loader | None = None

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
        return self.manifest.get("limits", {})

    @property
    def records(self) -> list[TrialRecord]:
        """The records of all finished trials, complete, stopped and failed, by number."""
        return self.folder.records() if self.known is None else list(self.known)

    def at(self, records: Sequence[TrialRecord]) -> "Run":
        """Return the run as it is with these trials: nothing of them is read again.

        Args:
            records: in any order.
        """
        return replace(self, known=tuple(sorted(records, key=lambda record: record.number)))

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

    def front(self) -> pd.DataFrame:
        """Return the trials that no other trial dominates, the most accurate first.

        Of a search with constraints, trials that break one take no part; `nearest_miss` tells of
        them when no trial is left.

        Columns: ``trial``; one an objective, in its unit; ``test_accuracy`` if it was measured;
        ``accuracy_standard_error``; ``pipeline``; ``within_noise_of``, ``collapsed`` (see
        `results.caveats`); ``knee`` (True in one row); ``size_ratio`` and ``latency_ratio``, how
        many times smaller and faster than the baseline.

        When the final measurement covers every member, ``latency_ms`` is the one measured
        together, the trial's own moves to ``trial_latency_ms``, and members that the better
        measurement shows to be dominated are left out. ``test_standard_error`` and ``stable``
        come with it. A final measurement that misses a member (trials were added since) gives
        test accuracies only, because latencies of two measurements do not rank.

        After finals, every value in a row is of the final that ships (``final`` names its folder
        in ``finals/``), the front is that of these files, and ``repeats``, ``accuracy_mean``,
        ``accuracy_sd``, ``test_accuracy_mean`` and ``test_accuracy_sd`` tell of all finals of the
        member: sample standard deviations, NaN for a single one. Where trials were added since,
        the front is still that of the finals until the search ends again.

        Raises:
            RunError: a record is damaged.
        """
        table = self._members()
        limits = self._limits_of(table)
        table = table[np.array([keeps(limits, row) for row in _rows(table)], dtype=bool)]
        down = ["accuracy_mean"] if "accuracy_mean" in table else []
        down += [o.name for o in self.objectives if o.direction == "maximize"]
        ascending = [False] * len(down) + [True]
        table = table.sort_values([*down, "trial"], ascending=ascending, ignore_index=True)
        baseline = self.baseline_values(table)
        table = add_caveats(table, self.records, self.manifest["workload"], baseline)
        position = front_knee(table) if len(table) else -1
        table["knee"] = np.arange(len(table)) == position
        for name, ratio in _RATIOS.items():
            if name in table and name in baseline:
                table[ratio] = baseline[name] / table[name]
        return table

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
        final = next((row for row in read_final(self.path) if row.trial is None), None)
        if final is not None:
            together = final.latency_ms if "trial_latency_ms" in front else None
            measured = {
                "latency_ms": together,
                "test_accuracy": final.test_accuracy,
                "test_standard_error": final.test_error(self._test_images),
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
    ) -> Member:
        """Return one member of the front.

        Args:
            how: "knee", "accuracy", "size" or "latency".
            min_accuracy: validation accuracy, 0..1.
            max_latency_ms: above 0.
            max_size_bytes: above 0.

        Raises:
            UserError: an unknown ``how``, or a limit that makes no sense for this run.
            NothingMatchesError: no member keeps the limits; names the nearest miss.
        """
        front = self.front()
        if front.empty and (missed := self.nearest_miss()):
            raise NothingMatchesError(missed)
        number = pick(
            front,
            how,
            min_accuracy=min_accuracy,
            max_latency_ms=max_latency_ms,
            max_size_bytes=max_size_bytes,
        )
        return self.trial(number)

    def nearest_miss(self) -> str:
        """Return which complete trial comes nearest to the constraints, if none keeps them.

        Empty if one does, or if there is nothing to tell of.
        """
        complete = [record for record in self.records if record.status == "complete"]
        if not self.limits or not complete or not self.front().empty:
            return ""
        members = self._members()  # kept the limits until they were measured together
        if not members.empty:
            return nearest_miss(members, self._limits_of(members))
        finals = [r for r in self._delivered()[0] if r.status == "complete"]  # each broke one
        measured = [{"trial": r.number, **r.metrics, **r.objectives} for r in finals or complete]
        return nearest_miss(pd.DataFrame(measured), self.limits)

    def _members(self) -> pd.DataFrame:
        """Return the front in any order, with members that the final measurement excludes."""
        return self._joined(*self._delivered())

    def _joined(self, records: Sequence[TrialRecord], rows: Sequence[FinalRow]) -> pd.DataFrame:
        kept = [r for r in records if keeps(self._unseen_limits, {**r.metrics, **r.objectives})]
        table = with_final(self._table(kept), rows, self._test_images)
        return table[self._mask(table[[o.name for o in self.objectives]].to_numpy(float))]

    @property
    def _test_images(self) -> Any:
        return self.manifest["workload"].get("test")

    def candidates(self) -> list[TrialRecord]:
        """Return the trials that keep the limits and that no other such trial dominates.

        By what the trials themselves measured, so that it changes only when trials are added.

        Raises:
            RunError: a record is damaged.
        """
        complete = self._complete()
        mask = self._mask(self._values(complete))
        return [record for record, kept in zip(complete, mask, strict=True) if kept]

    def standing(self, rows: Sequence[FinalRow]) -> list[int]:
        """Return which candidates stay on the front by latencies that were measured together.

        Args:
            rows: one a candidate.
        """
        table = self._joined(self.candidates(), rows)
        limits = self._limits_of(table)
        return [int(row["trial"]) for row in _rows(table) if keeps(limits, row)]

    def _delivered(self) -> tuple[list[TrialRecord], list[FinalRow]]:
        return delivered(self.folder, self.candidates)

    @property
    def _unseen_limits(self) -> dict[str, float]:
        """Limits of what is no objective, and so in no column of a front."""
        names = self.manifest["objectives"]
        return {name: limit for name, limit in self.limits.items() if name not in names}

    def _limits_of(self, table: pd.DataFrame) -> dict[str, float]:
        return {name: limit for name, limit in self.limits.items() if name in table}

    def _complete(self) -> list[TrialRecord]:
        """Return the complete trials that keep the constraints."""
        return [
            record
            for record in self.records
            if record.status == "complete"
            and keeps(self.limits, {**record.metrics, **record.objectives})
        ]

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

        From the values that the trials reported, never from the final measurement, so that it
        only grows while a search goes on. In the product of the objectives' units. Trials that
        break a constraint of the search count nothing.
        """
        complete = self._complete()
        reference = [self.manifest["reference_point"][o.name] for o in self.objectives]
        directions = [o.direction for o in self.objectives]
        return hypervolume(self._values(complete), reference, directions)

    def growth(self) -> pd.DataFrame:
        """Return ``trial``, and ``hypervolume``: what all trials up to this one have won.

        As a share of the box between the run's reference point and an accuracy of 1 at no bytes
        and in no time: 0..1, comparable between runs on the same baseline. In the product of the
        objectives' units where an objective has no best value. Failed and stopped trials, and
        those that break a constraint, win nothing.
        """
        records = self.records
        won = {record.number for record in self._complete()}
        values = self._values(records)
        values[[record.number not in won for record in records]] = np.nan
        reference = self.manifest["reference_point"]
        return pd.DataFrame(
            {
                "trial": np.array([record.number for record in records], dtype=int),
                "hypervolume": np.array(volumes(values, self.objectives, reference), dtype=float),
            }
        )

    def hypervolume_share(self) -> float:
        """Return the last value of `growth`, 0 without a trial."""
        return self.hypervolume() / (box(self.objectives, self.manifest["reference_point"]) or 1.0)

    def trials(self) -> pd.DataFrame:
        """Return all finished trials, by number, the front among them.

        Columns: ``trial``, ``status``, one an objective as the trial itself measured it (NaN
        where it did not), ``accuracy_standard_error``, ``pipeline``, ``on_front``, ``collapsed``
        and ``error``.
        """
        records = self.records
        table = self._table(records)
        table.insert(1, "status", [record.status for record in records])
        baseline = self.baseline_values(table)
        table = add_caveats(table, records, self.manifest["workload"], baseline)
        table = table.drop(columns="within_noise_of", errors="ignore")
        table["on_front"] = table["trial"].isin(self.front()["trial"])
        table["error"] = pd.Series([record.error for record in records], dtype=object)
        return table

    def report(self, path: str | Path | None = None) -> Path:
        """Write everything there is to understand of this run into one HTML file.

        Args:
            path: of the file, replaced if it exists; ``report.html`` in the run folder if not
                given.

        Returns:
            The file.

        Raises:
            UserError: the folder of the file does not exist.
            RunError: a record is damaged, or the disk refuses.
        """
        # Loaded here, for opening a run must not wait for what a report is made with.
        page = import_module("slimtune.results.report.page")
        written: Path = page.write_report(self, Path(path or self.path / "report.html"))
        return written

    def _values(self, records: Sequence[TrialRecord]) -> np.ndarray:
        rows = [[r.objectives.get(o.name, np.nan) for o in self.objectives] for r in records]
        return np.array(rows, dtype=float).reshape(len(records), len(self.objectives))

    def _mask(self, values: np.ndarray) -> np.ndarray:
        return non_dominated(values, [o.direction for o in self.objectives])

    def _table(self, records: Sequence[TrialRecord]) -> pd.DataFrame:
        values = self._values(records)
        columns: dict[str, Any] = {"trial": np.array([r.number for r in records], dtype=int)}
        for i, known in enumerate(self.objectives):
            column = values[:, i]
            whole = known.whole and np.isfinite(column).all()
            columns[known.name] = column.round().astype("int64") if whole else column
        columns["pipeline"] = pd.Series([r.pipeline for r in records], dtype=object)
        return pd.DataFrame(columns)


def open_run(path: str | Path, loader: Loader | None = None) -> Run:
    """Open a run folder for reading, also while a search writes to it.

    Args:
        path: the folder.
        loader: for `Member.load`; `slimtune.open_run` gives one.

    Raises:
        RunError: it is not a slimtune run, is damaged, or has another schema.
    """
    return Run(RunFolder.open(path), loader=loader)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
