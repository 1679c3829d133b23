"""One line for each claim: what was measured against what, the ratio, the target, whether met."""

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import click

from slimtune.measurement.host import describe_host


@dataclass(frozen=True)
class Row:
    """A claim and what was measured of it.

    Attributes:
        what: that is fast, small or right.
        against: what it is compared with, in the same process; ``"-"`` for a plain number.
        values: one a repetition: ratios, seconds, megabytes or shares.
        target: that the median shall reach; None: none is set.
        least: whether ``target`` is the least there may be, or the most.
        unit: behind the numbers: ``"x"``, ``"s"``, ``"MB"``, ``"%"`` or nothing.
        note: what a reader must know of this measurement.
        n: repetitions, where the values are only the smallest, middle and largest; 0: all.
    """

    what: str
    against: str
    values: tuple[float, ...]
    target: float | None
    least: bool = True
    unit: str = "x"
    note: str = ""
    n: int = 0

    @property
    def median(self) -> float:
        """The middle one of the values."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        """Whether the median reaches the target."""
        if self.target is None:
            return True
        return self.median >= self.target if self.least else self.median <= self.target


def parsed(line: str) -> Row | None:
    """Return the row of a line ``what | against | ratio | target | n | low-high``, or None.

    That is what scripts print that have no ``rows``; the target may be ``-``.
    """
    found = re.fullmatch(
        r"(.+?) \| (.+?) \| ([\d.]+) \| (?:-|([<>])= ([\d.]+)) \| (\d+) \| ([\d.]+)-([\d.]+)",
        line.strip(),
    )
    if found is None:
        return None
    what, against, middle, sign, target, n, low, high = found.groups()
    values = (float(low), float(middle), float(high))
    return Row(what, against, values, float(target) if sign else None, sign != "<", n=int(n))


COLUMNS = ("what", "against", "measured", "target", "met", "n", "spread")


def cells(row: Row) -> tuple[str, ...]:
    """Return the row as text, in the order of `COLUMNS`."""
    low, high = min(row.values), max(row.values)
    target, met = "-", "-"
    if row.target is not None:
        target = f"{'>=' if row.least else '<='} {row.target:g}{row.unit}"
        met = "yes" if row.met else "NO"
    return (
        row.what,
        row.against,
        f"{row.median:.3g}{row.unit}",
        target,
        met,
        str(row.n or len(row.values)),
        f"{low:.3g}-{high:.3g}",
    )


def text(rows: Iterable[Row]) -> str:
    """Return a table, then the notes."""
    lines = [COLUMNS, *map(cells, rows := list(rows))]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    out = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    out.insert(1, "  ".join("-" * width for width in widths))
    out += [f"note, {row.what}: {row.note}" for row in rows if row.note]
    return "\n".join(line.rstrip() for line in out)


def host() -> str:
    """Return processor, cores and versions in one line."""
    return " · ".join(f"{name} {value}" for name, value in describe_host().items())


def run_script(doc: str, rows: Callable[[bool], Iterable[Row]]) -> None:
    """Measure and print, as the options of the command line say.

    Args:
        doc: of the script; its first line is the help.
        rows: measures; given whether it shall be short.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    found = []
    for row in rows(options.short):
        found.append(row)
        if options.json:
            click.echo(json.dumps(asdict(row)))
    if not options.json:
        click.echo(host())
        click.echo(text(found))
