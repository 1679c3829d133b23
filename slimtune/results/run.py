"""The object that users hold: a finished, or a still running, search, opened for reading."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slimtune.errors import NothingMatchesError, UserError
from slimtune.results.delivery import FORMATS, export_member, failed_message
from slimtune.results.final import FinalRow, read_final
from slimtune.results.folder import RunFolder
from slimtune.results.front import hypervolume, non_dominated
from slimtune.results.limits import keeps
from slimtune.results.objectives import OBJECTIVES, Objective
from slimtune.results.record import TrialRecord
from slimtune.results.selection import front_knee, nearest_miss, pick

Loader = Callable[[Path], Any]
"""Makes a torch module of a trial's folder; handed in, for results know no torch."""

_RATIOS = {"size_bytes": "size_ratio", "latency_ms": "latency_ratio"}


@dataclass(frozen=True)
class Member:
    """One complete trial of a run, ready to be taken away.

    Attributes:
        number: of the trial.
        record: what was asked and measured.
        path: its folder.
        folder: the run it belongs to.
        loader: of `load`.
    """

    number: int
    record: TrialRecord
    path: Path
    folder: RunFolder
    loader: Loader | None = None

    def export(self, folder: str | Path, formats: Sequence[str] = tuple(FORMATS)) -> Path:
        """Copy the model and what belongs to it into a new folder; see `export_member`.

        Raises:
            UserError: the folder is taken, the trial has no model, or an unknown format.
            RunError: a file differs from what the trial wrote.
        """
        return export_member(self.folder, self.number, folder, formats)

    def load(self) -> Any:
        """Return the model as a torch module in eval mode, read without pickle.

        See `slimtune.load_model` for how near it comes to model.onnx.

        Raises:
            UserError: the trial has no weights, or the run was opened without a loader.
            RunError: a file differs from what the trial wrote.
        """
        if self.loader is None:
            raise UserError(
                "this run was opened by results alone, which knows no torch; open it with "
                "slimtune.open_run, or load the folder with slimtune.load_model"
            )
        for name in FORMATS["torch"]:
            self.folder.read_artifact(self.record, name)  # refuses what is not the trial's
        return self.loader(self.path)


@dataclass(frozen=True)
class Run:
    """A run folder opened for reading. Every call reads the folder as it is now.

    Attributes:
        folder: the files.
        loader: how its members become torch modules.
    """

    folder: RunFolder
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
        """The records of all finished trials, complete and failed, by number."""
        return self.folder.records()

    @property
    def baseline(self) -> dict[str, Any]:
        """The baseline's record: ``objectives`` and what else was measured of it."""
        return self.folder.baseline()

    def front(self) -> pd.DataFrame:
        """Return the trials that no other trial dominates, the most accurate first.

        Of a search with constraints, trials that break one take no part; `nearest_miss` tells of
        them when no trial is left.

        Columns: ``trial``; one an objective, in its unit; ``test_accuracy`` if it was measured;
        ``pipeline``; ``knee`` (True in one row); ``size_ratio`` and ``latency_ratio``, how many
        times smaller and faster than the baseline.

        When the final measurement covers every member, ``latency_ms`` is the one measured
        together, the trial's own moves to ``trial_latency_ms``, and members that the better
        measurement shows to be dominated are left out. ``test_standard_error`` and ``stable``
        come with it. A final measurement that misses a member (trials were added since) gives
        test accuracies only, because latencies of two measurements do not rank.

        Raises:
            RunError: a record is damaged.
        """
        table = self._members()
        limits = self._limits_of(table)
        table = table[np.array([keeps(limits, row) for row in _rows(table)], dtype=bool)]
        maximized = [o.name for o in self.objectives if o.direction == "maximize"]
        table = table.sort_values(
            [*maximized, "trial"], ascending=[False] * len(maximized) + [True], ignore_index=True
        )
        position = front_knee(table) if len(table) else -1
        table["knee"] = np.arange(len(table)) == position
        baseline = self.baseline_values(table)
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
                "test_standard_error": final.test_standard_error,
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
        measured = [{"trial": r.number, **r.metrics, **r.objectives} for r in complete]
        return nearest_miss(pd.DataFrame(measured), self.limits)

    def _members(self) -> pd.DataFrame:
        """Return the front in any order, with members that the final measurement excludes."""
        complete = self._complete()
        mask = self._mask(self._values(complete))
        table = self._table([record for record, kept in zip(complete, mask, strict=True) if kept])
        table = _with_final(table, read_final(self.path))
        if "trial_latency_ms" in table:
            names = [o.name for o in self.objectives]
            table = table[self._mask(table[names].to_numpy(float))]
        return table

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
        """Return a complete trial, on the front or not.

        Raises:
            UserError: there is no such trial, or it failed.
            RunError: its record is damaged.
        """
        record = self.folder.record(number)
        if record.status == "failed":
            raise UserError(failed_message(self.path, record))
        path = self.folder.trial_path(record.number)
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
            columns[known.name] = column.round().astype("int64") if known.whole else column
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
    return Run(RunFolder.open(path), loader)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _with_final(table: pd.DataFrame, final: Sequence[FinalRow]) -> pd.DataFrame:
    """Add what the final measurement knows of the members; see `Run.front`."""
    by_trial = {row.trial: row for row in final}
    rows = [by_trial.get(int(number), FinalRow(trial=int(number))) for number in table["trial"]]
    if any(row.test_accuracy is not None for row in rows):
        after = list(table.columns).index("pipeline")
        accuracy = [row.test_accuracy for row in rows]
        error = [row.test_standard_error for row in rows]
        table.insert(after, "test_accuracy", pd.Series(accuracy, dtype=float))
        table.insert(after + 1, "test_standard_error", pd.Series(error, dtype=float))
    measured = rows and all(row.latency_ms is not None for row in rows)
    if "latency_ms" in table and measured:
        table["trial_latency_ms"] = table["latency_ms"]
        table["latency_ms"] = pd.Series([row.latency_ms for row in rows], dtype=float)
        table["stable"] = [row.stable for row in rows]
    return table
