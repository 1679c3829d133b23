"""The columns of a front's table, defined once for terminal, notebooks, report and exports.

To add a column, add a line to `front_columns`: every view shows it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from slimtune.results.objectives import OBJECTIVES, Objective
from slimtune.results.pareto.trial_table import RATIOS
from slimtune.results.units import accuracy, display_unit, is_missing, number, times

Row = Mapping[Any, Any]
"""Of a front, of all trials, or what the baseline measured: column -> value."""


@dataclass(frozen=True)
class Cell:
    """One cell of the table, in parts, so that a narrow view can leave some of them out.

    Attributes:
        number: the value without its unit; empty if it was not measured.
        unit: of the number; empty if it has none.
        error: standard error or standard deviation, without its sign.
        mark: ``"~"`` for a latency that may be too high.
        ratio: how many times smaller or faster than the baseline, such as ``"7.6×"``.
    """

    number: str = ""
    unit: str = ""
    error: str = ""
    mark: str = ""
    ratio: str = ""

    @property
    def text(self) -> str:
        """The cell below a heading that has the unit, such as ``"14.6 (7.6×)"``."""
        return self._joined(self.number)

    @property
    def text_with_unit(self) -> str:
        """The cell by itself, such as ``"14.6 KiB (7.6×)"``."""
        return self._joined(f"{self.number} {self.unit}" if self.unit else self.number)

    def _joined(self, value: str) -> str:
        error = f"± {self.error}" if self.error else ""
        ratio = f"({self.ratio})" if self.ratio else ""
        return " ".join(filter(None, (value, error, self.mark, ratio)))


@dataclass(frozen=True)
class Column:
    """One column between the trial's number and its pipeline.

    Attributes:
        heading: such as ``"size KiB ↓"``.
        cell: returns what it says of a row.
        objective: that it shows; None if it shows something else.
    """

    heading: str
    cell: Callable[[Row], Cell]
    objective: Objective | None = None


def front_columns(table: pd.DataFrame) -> list[Column]:
    """Return the columns of a table of trials.

    Args:
        table: rows of `Run.front` or `Run.trials`.
    """
    columns = []
    for objective in (OBJECTIVES[str(name)] for name in table.columns if name in OBJECTIVES):
        columns.append(
            Column(_heading(objective), partial(_objective, objective=objective), objective)
        )
        if objective.name == "accuracy" and "test_accuracy" in table:
            columns.append(Column("test ↑", accuracy_on_test))
    if "within_noise_of" in table and table["within_noise_of"].notna().any():
        columns.append(Column("≈", _twin))
    if "accuracy" not in table and "test_accuracy" in table:
        columns.append(Column("test accuracy ↑", accuracy_on_test))
    return columns


def objective_cell(row: Row, objective: Objective) -> Cell:
    """Return what a row says of one objective, as the file that ships measured it."""
    value = row.get(objective.name)
    if value is None or is_missing(value):
        return Cell()
    unsure = objective.unit == "ms" and row.get("stable") is False
    ratio = row.get(RATIOS.get(objective.name, ""))
    return Cell(
        number=number(objective, value),
        unit=display_unit(objective) if objective.unit in ("B", "ms") else "",
        error=_number(row, f"{objective.name}_standard_error"),
        mark="~" if unsure else "",
        # A latency that may be too high has no ratio to the baseline's.
        ratio="" if ratio is None or unsure else times(ratio),
    )


def accuracy_on_test(row: Row) -> Cell:
    """Return the accuracy on test images: over several finals, or of the file that ships."""
    one = Cell(_number(row, "test_accuracy"), error=_number(row, "test_standard_error"))
    return _over_seeds(row, "test_accuracy") or one


def mark(row: Row) -> str:
    """Return the mark of the knee, of a collapsed trial, of a member among all trials, or none."""
    if row.get("knee") is True:
        return "◆ "
    if row.get("collapsed") is True:
        return "✗ "
    return "• " if row.get("on_front") is True else ""


def _heading(objective: Objective) -> str:
    unit = f"{display_unit(objective)} " if objective.unit in ("B", "ms") else ""
    return f"{objective.title} {unit}{objective.arrow}"


def _objective(row: Row, objective: Objective) -> Cell:
    return _over_seeds(row, objective.name) or objective_cell(row, objective)


def _over_seeds(row: Row, name: str) -> Cell | None:
    """Return mean and sample standard deviation over the finals, where there are several."""
    deviation = _number(row, f"{name}_sd")
    return Cell(_number(row, f"{name}_mean"), error=deviation) if deviation else None


def _twin(row: Row) -> Cell:
    trial = row.get("within_noise_of")
    return Cell() if trial is None or trial is pd.NA else Cell(f"≈{trial}")


def _number(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None or is_missing(value) else accuracy(value)
