"""How a run, its members and records are shown in Python: in one line, and in notebooks."""

import html
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from slimtune.errors import SlimtuneError
from slimtune.results.limit_words import limits_words
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.units import plural, quantity


class RunRepr:
    """The representation of `Run`. It reads the folder, and says if the folder is damaged."""

    def __repr__(self) -> str:
        """Return the run in one line."""
        try:
            return f"<Run {run_words(self)}>"
        except SlimtuneError as error:
            return f"<Run {getattr(self, 'path', '?')}: cannot be read: {error}>"


class MemberRepr:
    """The representation of `Member`."""

    number: int
    record: Any
    folder: Any

    def __repr__(self) -> str:
        """Return the member in one line."""
        values = record_words(self.record)
        return (
            f"<Member trial {self.number} of {self.folder.path}: {self.record.pipeline}; {values}>"
        )

    def _repr_html_(self) -> str:
        """Return the member's pipeline and what was measured, for a notebook."""
        place, pipeline = html.escape(str(self.folder.path)), html.escape(self.record.pipeline)
        values = _values(self.record)
        table = html_table([name for name, _ in values], [[value for _, value in values]])
        return f"<p><b>trial {self.number}</b> of {place}: {pipeline}</p>{table}"


class RecordRepr:
    """The representation of `TrialRecord`, without its recipe, metrics and hashes."""

    number: int
    status: str
    pipeline: str
    error: str | None
    objectives: Mapping[str, float]

    def __repr__(self) -> str:
        """Return the record in one line."""
        why = f", error={self.error!r}" if self.error else ""
        return (
            f"TrialRecord(number={self.number}, status={self.status!r}, "
            f"pipeline={self.pipeline!r}, objectives={dict(self.objectives)!r}{why})"
        )


def html_table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in HTML, its texts escaped."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def run_words(run: Any) -> str:
    """Return a run in a few words: its trials, its front, its limits."""
    records = run.records
    counts = Counter(record.status for record in records)
    became = ", ".join(
        f"{counts[status]} {status}"
        for status in ("complete", "stopped", "failed")
        if counts[status]
    )
    text = f"{run.path}: {plural(len(records), 'trial')}" + (f" ({became})" if became else "")
    text += f", {len(run.front())} on the front"
    return text + (f", within {limits_words(run.limits, run.limit_texts)}" if run.limits else "")


def record_words(record: Any) -> str:
    """Return what a record measured of the objectives, in one line."""
    return ", ".join(f"{name} {value}" for name, value in _values(record))


def _values(record: Any) -> list[tuple[str, str]]:
    """Return what a record's objectives are called, and their values with units."""
    return [
        (OBJECTIVES[name].title, quantity(OBJECTIVES[name], value, record.stable))
        for name, value in record.objectives.items()
        if name in OBJECTIVES
    ]
