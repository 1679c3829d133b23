"""The joint measurement: the front and the baseline measured together, when no trial runs."""

import csv
import dataclasses
import io
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from slimtune.errors import RunError, SlimtuneWarning, from_validation
from slimtune.results.class_scores import ClassScores
from slimtune.results.interval import trusted_error
from slimtune.results.store.files import atomic_write
from slimtune.results.store.sealed import read_sealed, seal
from slimtune.results.store.shapes import STRICT, Share


@dataclass(frozen=True, kw_only=True)
class JointRow:
    """One model of the joint measurement.

    Attributes:
        trial: its number; None for the baseline.
        test_accuracy: 0..1, on images that nothing was selected on; None if not measured.
        test_standard_error: binomial, of the test accuracy.
        latency_ms: measured in turn with all other rows; None if not measured.
        stable: whether the latency could be measured on a machine quiet enough.
        final: the file that was measured, as a folder of ``finals/``; None for the trial's own.
        repeats: finals of the member that were completed; None if it was not run again.
        accuracy_mean: of its finals' validation accuracies.
        accuracy_sd: their sample standard deviation; None for a single one.
        test_accuracy_mean: of its finals' test accuracies.
        test_accuracy_sd: their sample standard deviation; None for a single one.
        test_classes: what it does with single classes of the test images; None in older runs.
    """

    __pydantic_config__ = STRICT

    trial: int | None
    test_accuracy: Share | None = None
    test_standard_error: Share | None = None
    latency_ms: Annotated[float, Field(gt=0, le=1e300)] | None = None
    stable: bool = True
    final: str | None = None
    repeats: int | None = None
    accuracy_mean: Share | None = None
    accuracy_sd: Share | None = None
    test_accuracy_mean: Share | None = None
    test_accuracy_sd: Share | None = None
    test_classes: ClassScores | None = None

    def test_error(self, images: object) -> float | None:
        """Return the standard error of the test accuracy, also of a row from an older slimtune.

        Args:
            images: number of test images, where it is known.
        """
        if self.test_accuracy is None:
            return None
        error = trusted_error(self.test_standard_error, self.test_accuracy, images)
        return None if math.isnan(error) else error


SPREAD = ("accuracy_mean", "accuracy_sd", "test_accuracy_mean", "test_accuracy_sd")
"""Columns of a front that describe all finals of a member."""

_ADAPTER: TypeAdapter[list[JointRow]] = TypeAdapter(list[JointRow])


def write_joint(folder: Path, rows: Sequence[JointRow]) -> None:
    """Write ``front/front.json`` and, for spreadsheets, the same as ``front/front.csv``.

    Args:
        folder: the run folder.
        rows: one a model, the baseline among them; replaces an earlier joint measurement.

    Raises:
        RunError: the disk refuses.
    """
    front = folder / "front"
    try:
        front.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{front} cannot be made: {error.strerror}") from None
    # The JSON file is the one that is read: it is written last, so the CSV is never older.
    atomic_write(front / "front.csv", _csv(rows))
    atomic_write(front / "front.json", seal({"rows": [dataclasses.asdict(r) for r in rows]}))


def read_joint(folder: Path) -> list[JointRow]:
    """Return the rows of the joint measurement; empty if there was none.

    A damaged one counts as none, because it can be repeated; a `SlimtuneWarning` says so.
    """
    try:
        return check_joint(folder)
    except RunError as error:
        warnings.warn(
            f"{error}; the table shows what the trials measured, without finals; slimtune search "
            f"--resume {folder} measures the front again",
            SlimtuneWarning,
            stacklevel=2,
        )
        return []


def check_joint(folder: Path) -> list[JointRow]:
    """Return what `read_joint` returns.

    Raises:
        RunError: front.json is damaged.
    """
    path = folder / "front" / "front.json"
    if not path.exists() and not path.is_symlink():
        return []
    try:
        return _ADAPTER.validate_json(json.dumps(read_sealed(path).get("rows")))
    except ValidationError as error:
        raise RunError(f"{path}: {from_validation(error, 'rows')}") from None


def baseline_latency(rows: Sequence[JointRow]) -> float | None:
    """Return the baseline's stable latency in a joint measurement; None if it has none."""
    latencies = [row.latency_ms for row in rows if row.trial is None and row.stable]
    return latencies[0] if latencies else None


def with_joint(
    table: pd.DataFrame, joint: Sequence[JointRow], images: object = None
) -> pd.DataFrame:
    """Add the columns of the joint measurement to a table, in place; see `Run.front`.

    Args:
        table: columns ``trial``, ``pipeline`` and the objectives.
        joint: rows of one measurement.
        images: number of test images, for error bars.
    """
    by_trial = {row.trial: row for row in joint}
    rows = [by_trial.get(int(number), JointRow(trial=int(number))) for number in table["trial"]]
    if any(row.test_accuracy is not None for row in rows):
        after = list(table.columns).index("pipeline")
        accuracy = [row.test_accuracy for row in rows]
        error = [row.test_error(images) for row in rows]
        table.insert(after, "test_accuracy", pd.Series(accuracy, dtype=float))
        table.insert(after + 1, "test_standard_error", pd.Series(error, dtype=float))
    if any(row.final is not None for row in rows):
        for name in ("final", "repeats", *SPREAD):
            table[name] = [getattr(row, name) for row in rows]
        table[list(SPREAD)] = table[list(SPREAD)].astype(float)
    measured = rows and all(row.latency_ms is not None for row in rows)
    if "latency_ms" in table and measured:
        table["trial_latency_ms"] = table["latency_ms"]
        table["latency_ms"] = pd.Series([row.latency_ms for row in rows], dtype=float)
        table["stable"] = [row.stable for row in rows]
    return table


def _csv(rows: Sequence[JointRow]) -> str:
    text = io.StringIO()
    # Lists have no place in a table; they are in front.json.
    names = [f.name for f in dataclasses.fields(JointRow) if f.name != "test_classes"]
    writer = csv.DictWriter(text, names, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        values = dataclasses.asdict(row)
        writer.writerow({**values, "trial": "baseline" if row.trial is None else row.trial})
    return text.getvalue()
