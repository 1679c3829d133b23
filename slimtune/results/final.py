"""The final measurement: the front and the baseline measured together, when no trial runs."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from slimtune.errors import RunError, from_validation
from slimtune.results.files import atomic_write, read_json, to_json


@dataclass(frozen=True, kw_only=True)
class FinalRow:
    """One model of the final measurement.

    Attributes:
        trial: its number; None for the baseline.
        test_accuracy: 0..1, on images that nothing was selected on; None if not measured.
        test_standard_error: binomial, of the test accuracy.
        latency_ms: measured in turn with all other rows; None if not measured.
        stable: whether the latency could be measured on a machine quiet enough.
    """

    trial: int | None
    test_accuracy: float | None = None
    test_standard_error: float | None = None
    latency_ms: float | None = None
    stable: bool = True


_ADAPTER: TypeAdapter[list[FinalRow]] = TypeAdapter(list[FinalRow])


def write_final(folder: Path, rows: Sequence[FinalRow]) -> None:
    """Write ``front/front.json`` and, for spreadsheets, the same as ``front/front.csv``.

    Args:
        folder: the run folder.
        rows: one a model, the baseline among them; replaces an earlier final measurement.

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
    atomic_write(front / "front.json", to_json({"rows": [dataclasses.asdict(r) for r in rows]}))


def read_final(folder: Path) -> list[FinalRow]:
    """Return the rows of the final measurement; empty if there was none.

    Raises:
        RunError: front.json is damaged.
    """
    path = folder / "front" / "front.json"
    if not path.exists() and not path.is_symlink():
        return []
    try:
        return _ADAPTER.validate_python(read_json(path).get("rows"))
    except ValidationError as error:
        raise RunError(f"{path}: {from_validation(error, 'rows')}") from None


def _csv(rows: Sequence[FinalRow]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in dataclasses.fields(FinalRow)])
    writer.writeheader()
    for row in rows:
        values = dataclasses.asdict(row)
        writer.writerow({**values, "trial": "baseline" if row.trial is None else row.trial})
    return text.getvalue()
