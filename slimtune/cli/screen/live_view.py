"""The live picture of a search: its progress, the front so far, and the running trials."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from slimtune.results.run import Run
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.status import TrialStatus
from slimtune.results.units import clock
from slimtune.results.views.columns import Column, Row, front_columns, mark

_BAR = 16
_FEWEST_ROWS = 3


@dataclass
class LiveView:
    """The state of a search, drawn again each time it is rendered.

    Attributes:
        clock: seconds since 1970.
        title: the current step, such as the baseline's training.
        total: number of trials planned; None if unknown.
        running: the running trials, by number.
        reserve: lines of the terminal to leave free.
    """

    clock: Callable[[], float] = time.time
    title: str = "preparing"
    total: int | None = None
    running: dict[int, TrialStatus] = field(default_factory=dict)
    reserve: int = 2
    _records: dict[int, TrialRecord] = field(default_factory=dict)
    _run: Run | None = None
    _front: pd.DataFrame | None = None
    _volume: float = 0.0
    _gain: float = 0.0
    _begun: float | None = None
    _before: int = 0
    _last: str = ""
    _finals: tuple[int, int] | None = None

    def begin(
        self,
        records: Iterable[TrialRecord],
        run: Run | None,
        since: tuple[float, int] | None = None,
    ) -> None:
        """Start with the trials that finished before; the pace is measured from here.

        Args:
            records: the records of these trials.
            run: their run.
            since: when the search began, and how many trials were finished then. Default: now,
                and all of them.
        """
        self._run = run
        self._records = {record.number: record for record in records}
        self._begun, self._before = since or (self.clock(), len(self._records))
        self._refresh()
        self._gain = 0.0

    @property
    def run(self) -> Run | None:
        """The run with the records seen so far; None while there is none."""
        return None if self._run is None else self._run.at(list(self._records.values()))

    @property
    def finished(self) -> int:
        """How many trials are finished."""
        return len(self._records)

    @property
    def counts(self) -> str:
        """The numbers of failed and of stopped trials, in words."""
        parts = []
        for status in ("failed", "stopped"):
            count = sum(record.status == status for record in self._records.values())
            parts += [f"{count} {status}"] if count else []
        return ", ".join(parts)

    def start(self, number: int, pipeline: str, since: float | None = None) -> None:
        """Note that a trial begins."""
        self._begun = self._begun or self.clock()
        self.running[number] = TrialStatus(number, pipeline, "", since or self.clock())

    def stage(self, number: int, stage: str) -> None:
        """Note the stage of a running trial; a finished trial is ignored."""
        if (trial := self.running.get(number)) is not None:
            self.running[number] = TrialStatus(number, trial.pipeline, stage, trial.since)

    def finish(self, record: TrialRecord, text: str) -> None:
        """Note that a trial finished, with the text that says how."""
        self.running.pop(record.number, None)
        self._records[record.number] = record
        self._last = f"trial {record.number}: {text}"
        self._refresh()

    def finals(self, finished: int, total: int, last: str = "") -> None:
        """Note how many finals are finished; the pace is that of the finals from here on."""
        if self._finals is None:
            self._begun, self._before = self.clock(), finished
        self._finals, self._last = (finished, total), last or self._last
        self.title = "finals, measuring the front" if finished == total else "finals"

    @property
    def _count(self) -> tuple[int, int | None]:
        """The finished trials and their total; of finals, once these run."""
        return self._finals or (self.finished, self.total)

    def eta(self) -> float | None:
        """Return the seconds left at the pace so far; None while it is unknown."""
        finished, total = self._count
        here = finished - self._before
        if self._begun is None or total is None or not here:
            return None
        return (self.clock() - self._begun) / here * max(0, total - finished)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the picture in as many lines as the terminal has."""
        yield self._head(options.max_width)
        free = console.size.height - self.reserve - 3 - len(self.running)
        if self._front is not None and len(self._front):
            yield front_so_far(self._front, max(_FEWEST_ROWS, free), options.max_width)
        for trial in sorted(self.running.values(), key=lambda one: one.number):
            spent = clock(max(0.0, self.clock() - trial.since))
            line = f"running {trial.number:4d}  {trial.stage or 'starting':<10} {spent:>5}  "
            yield _line(line + trial.pipeline, options)
        if self._last:
            yield _line(self._last, options, style="dim")

    def _head(self, width: int) -> Table:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        finished, total = self._count
        bar = ProgressBar(total=total, completed=finished, width=_BAR)
        grid.add_row(bar if total else Text("·"), Text(self._headline(width - _BAR - 1)))
        return grid

    def _headline(self, width: int) -> str:
        """Return progress and times, and as many other facts as there is room for."""
        if self._begun is None:
            return self.title
        finished, total = self._count
        count = f"{finished}/{total or '?'} {self.title}"
        times = [clock(self.clock() - self._begun)]
        eta = self.eta()
        times += [f"ETA {clock(eta)}"] if eta else []
        volume = f"hypervolume {self._volume:.4g}" if self._volume else ""
        gain = f" (+{self._gain:.4g})" if volume and self._gain >= 5e-5 else ""
        for more in ((self.counts, volume + gain), (self.counts, volume), (self.counts,), ()):
            line = " · ".join([count, *filter(None, more), *times])
            if len(line) <= width:
                break
        return line

    def _refresh(self) -> None:
        """Compute the hypervolume again, and the front if the last trial can have changed it."""
        run = self.run
        if run is None:
            return
        volume = run.hypervolume_share()
        self._gain, self._volume = volume - self._volume, volume
        if self._front is None or self._gain > 0 or len(self._front) == 0:
            self._front = run.front()


def front_so_far(front: pd.DataFrame, rows: int, width: int) -> Table:
    """Return a front in at most so many lines, the knee among them, pipelines cut to fit.

    Args:
        front: from `Run.front`.
        rows: members, at least 1.
        width: columns of the terminal.
    """
    columns = [column for column in front_columns(front) if column.objective]
    shown = front.iloc[spread_positions(len(front), rows, list(front["knee"]).index(True))]
    titles = ["trial", *(column.heading for column in columns)]
    cells = [
        [mark(row) + str(row["trial"]), *(_value(column, row) for column in columns)]
        for row in shown.to_dict("records")
    ]
    of = f" ({len(shown)} of {len(front)} members)" if len(shown) < len(front) else ""
    used = sum(max(map(len, column)) + 2 for column in zip(titles, *cells, strict=True))
    # Cut here: rich would take the missing room from the numbers.
    room = max(8, width - used)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(Text(_cut(f"front so far{of}", room)), no_wrap=True)
    for row, pipeline in zip(cells, shown["pipeline"], strict=True):
        table.add_row(*map(Text, row), Text(_cut(str(pipeline), room)))
    return table


def _value(column: Column, row: Row) -> str:
    """Return a cell without error bar and ratio, because a live picture has no room for them."""
    return replace(column.cell(row), error="", ratio="").text


def spread_positions(length: int, most: int, always: int) -> list[int]:
    """Return at most ``most`` of the positions 0..length-1, evenly spread, ``always`` among them.

    Args:
        length: at least 1.
        most: at least 1.
        always: a position that is kept.
    """
    if length <= most:
        return list(range(length))
    spread = [round(position) for position in np.linspace(0, length - 1, most)]
    if always not in spread:
        nearest = min(range(most), key=lambda i: abs(spread[i] - always))
        spread[nearest] = always
    return spread


def _line(text: str, options: ConsoleOptions, style: str = "") -> Text:
    return Text(_cut(text, options.max_width), style=style, no_wrap=True)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
