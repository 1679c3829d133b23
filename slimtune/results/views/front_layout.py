"""The layout of a front's table: pipelines beside the numbers, or below them if it is narrow.

On a narrow terminal the table drops error bars first, then ratios, then whole columns. Its last
line says what is not shown.
"""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slimtune.results.reprs import html_table
from slimtune.results.views.columns import Cell

_GAP = 2
"""Blanks between two columns."""
_BESIDE = 22
"""Columns that a pipeline needs beside the numbers, or as many as the longest has."""


@dataclass(frozen=True)
class FilledColumn:
    """A column of the table with its content.

    Attributes:
        heading: in one line, or in several.
        cells: one a row.
    """

    heading: str
    cells: Sequence[Cell]

    @property
    def width(self) -> int:
        """Columns of the console that it takes."""
        texts = [*self.heading.split("\n"), *(cell.text for cell in self.cells)]
        return max(map(cell_len, texts))

    def without(self, part: str) -> "FilledColumn":
        """Return the column without a part of its cells, a field of `Cell`."""
        return replace(self, cells=[replace(cell, **{part: ""}) for cell in self.cells])


@dataclass(frozen=True)
class FrontTable:
    """A table that fits itself to the console that it is printed on.

    Attributes:
        columns: every column but the pipeline's; the first is the trial.
        pipelines: one a row.
        notes: lines below the table.
    """

    columns: Sequence[FilledColumn]
    pipelines: Sequence[str]
    notes: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it in as many columns as there are."""
        width = options.max_width
        longest = max(map(cell_len, self.pipelines), default=0)
        room = width - _width(self.columns) - _GAP
        if room >= max(len("pipeline"), min(_BESIDE, longest)):
            yield self._beside()
            yield from map(Text, self.notes)
            return
        columns, lost = fit_columns(self.columns, width)
        yield from self._below(columns)
        yield from map(Text, self.notes)
        if lost:
            what = f"not shown at this width: {', '.join(lost)}; --format csv has all"
            yield Text(what)

    def _repr_html_(self) -> str:
        """Return the table with nothing left out, for a notebook."""
        titles = [*(column.heading for column in self.columns), "pipeline"]
        rows = [
            [*(column.cells[row].text for column in self.columns), pipeline]
            for row, pipeline in enumerate(self.pipelines)
        ]
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return html_table(titles, rows) + notes

    def _beside(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in self.columns:
            table.add_column(column.heading, justify="right", no_wrap=True)
        table.add_column("pipeline", overflow="fold")
        # Text, not markup: a pipeline may hold brackets.
        for row, pipeline in enumerate(self.pipelines):
            table.add_row(*(Text(c.cells[row].text) for c in self.columns), Text(pipeline))
        return table

    def _below(self, columns: Sequence[FilledColumn]) -> Iterator[Text | Padding]:
        widths = [column.width for column in columns]
        indent = (0, 0, 0, widths[0] + _GAP)
        headings = [column.heading.split("\n") for column in columns]
        height = max(map(len, headings))
        for line in range(height):
            cells = [[""] * (height - len(words)) + words for words in headings]
            yield _line([words[line] for words in cells], widths, "bold")
        yield Padding(Text("pipeline", style="bold"), indent, expand=False)
        for row, pipeline in enumerate(self.pipelines):
            yield _line([column.cells[row].text for column in columns], widths)
            yield Padding(Text(pipeline, overflow="fold"), indent, expand=False)


def fit_columns(
    columns: Sequence[FilledColumn], width: int
) -> tuple[list[FilledColumn], list[str]]:
    """Return columns that fit the width, and what had to be left out, in words.

    Args:
        columns: see `FrontTable`.
        width: columns of the console.
    """
    now = list(columns)
    lost: list[str] = []
    steps: list[tuple[str, Callable[[FilledColumn], FilledColumn]]] = [
        ("", _wrapped),
        ("error bars of test", lambda c: c.without("error") if c.heading[:4] == "test" else c),
        ("error bars", lambda c: c.without("error")),
        ("ratios to the baseline", lambda c: c.without("ratio")),
    ]
    for what, shortened in steps:
        if _width(now) <= width:
            return now, lost
        shorter = [shortened(column) for column in now]
        if what and shorter != now:
            lost = [*(one for one in lost if not one.startswith(what)), what]
        now = shorter
    while len(now) > 2 and _width(now) > width:
        least = next((c for c in now if c.heading == "≈"), now[-1])
        now = [column for column in now if column is not least]
        lost.append(" ".join(least.heading.split()))
    return now, lost


def _wrapped(column: FilledColumn) -> FilledColumn:
    """Return a column whose heading has its first word on a line of its own."""
    return replace(column, heading=column.heading.replace(" ", "\n", 1))


def _width(columns: Sequence[FilledColumn]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def _line(cells: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    padded = [
        " " * (width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True)
    ]
    return Text((" " * _GAP).join(padded), style=style, no_wrap=True)
