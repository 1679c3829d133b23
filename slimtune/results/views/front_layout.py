"""How a front's table is laid out: pipelines beside the numbers, or below them where it is narrow.

With a narrow terminal, what matters least goes first: error bars, ratios, then whole columns; the
last line says what is not shown.
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_GAP = 2
"""Blanks between two columns."""
_BESIDE = 22
"""Columns that a pipeline needs beside the numbers, or as many as the longest has."""
_BAR, _RATIO = re.compile(r" ± \S+"), re.compile(r" \(\S+×\)")

Column = list[str]
"""A title, then a cell a row."""


@dataclass(frozen=True)
class FrontTable:
    """A table that fits itself to the console that it is printed on.

    Attributes:
        columns: title and cells of every column but the pipeline's; the first is the trial.
        pipelines: one a row.
        notes: lines below the table.
    """

    columns: Sequence[Column]
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
        columns, lost = fitted(self.columns, width)
        yield from self._below(columns)
        yield from map(Text, self.notes)
        if lost:
            what = f"not shown at this width: {', '.join(lost)}; --format csv has all"
            yield Text(what)

    def _repr_html_(self) -> str:
        """Return the table with nothing left out, for a notebook."""
        titles = [*(column[0] for column in self.columns), "pipeline"]
        rows = [
            [*(column[row] for column in self.columns), pipeline]
            for row, pipeline in enumerate(self.pipelines, start=1)
        ]
        head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table><tr>{head}</tr>{body}</table>{notes}"

    def _beside(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, *_ in self.columns:
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("pipeline", overflow="fold")
        # Text, not markup: a pipeline may hold brackets.
        for row, pipeline in enumerate(self.pipelines, start=1):
            table.add_row(*(Text(column[row]) for column in self.columns), Text(pipeline))
        return table

    def _below(self, columns: Sequence[Column]) -> Iterator[Text | Padding]:
        widths = [_column_width(column) for column in columns]
        indent = (0, 0, 0, widths[0] + _GAP)
        titles = [column[0].split("\n") for column in columns]
        height = max(map(len, titles))
        for line in range(height):
            cells = [[""] * (height - len(words)) + words for words in titles]
            yield _line([words[line] for words in cells], widths, "bold")
        yield Padding(Text("pipeline", style="bold"), indent, expand=False)
        for row, pipeline in enumerate(self.pipelines, start=1):
            yield _line([column[row] for column in columns], widths)
            yield Padding(Text(pipeline, overflow="fold"), indent, expand=False)


def fitted(columns: Sequence[Column], width: int) -> tuple[list[Column], list[str]]:
    """Return columns that fit, and what they lost for it, in words.

    Args:
        columns: see `FrontTable`.
        width: columns of the console.
    """
    now = [list(column) for column in columns]
    lost: list[str] = []
    steps: list[tuple[str, Callable[[list[Column]], list[Column]]]] = [
        ("", lambda all_of: [_wrapped(column) for column in all_of]),
        ("error bars of test", lambda all_of: _without(_BAR, all_of, "test")),
        ("error bars", lambda all_of: _without(_BAR, all_of)),
        ("ratios to the baseline", lambda all_of: _without(_RATIO, all_of)),
    ]
    for what, shortened in steps:
        if _width(now) <= width:
            return now, lost
        shorter = shortened(now)
        if what and shorter != now:
            lost = [*(one for one in lost if not one.startswith(what)), what]
        now = shorter
    while len(now) > 2 and _width(now) > width:
        least = next((c for c in now if c[0] == "≈"), now[-1])
        now = [column for column in now if column is not least]
        lost.append(" ".join(least[0].split()))
    return now, lost


def _wrapped(column: Column) -> Column:
    """Return a column whose title has its first word on a line of its own."""
    return [column[0].replace(" ", "\n", 1), *column[1:]]


def _without(form: re.Pattern[str], columns: list[Column], begins: str = "") -> list[Column]:
    return [
        [column[0], *(form.sub("", cell) for cell in column[1:])]
        if column[0].startswith(begins)
        else column
        for column in columns
    ]


def _column_width(column: Column) -> int:
    return max(cell_len(line) for cell in column for line in cell.split("\n"))


def _width(columns: Sequence[Column]) -> int:
    return sum(map(_column_width, columns)) + _GAP * (len(columns) - 1)


def _line(cells: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    padded = [
        " " * (width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True)
    ]
    return Text((" " * _GAP).join(padded), style=style, no_wrap=True)
