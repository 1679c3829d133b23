"""Sends finished trials to trackers, which can neither slow a search down nor end it."""

import csv
import io
import math
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slimtune.results.objectives import is_number
from slimtune.results.store.record import TrialRecord
from slimtune.search.listeners.events import Event, Listener, TrialFinished, Warned
from slimtune.search.listeners.trackers.protocol import (
    TRACKERS,
    Tracker,
    TrialLog,
    check_installed,
)

LAST_SECONDS = 30.0
"""Seconds that the end of a search waits for its trackers."""


@contextmanager
def tracked(names: tuple[str, ...], folder: Path, listener: Listener) -> Iterator[Listener]:
    """Provide a listener that also sends finished trials to trackers.

    Trackers run in a thread of their own, so a slow server delays no trial. After its first error,
    which is reported as a warning, a tracker gets no more trials.

    Args:
        names: of trackers; if empty, ``listener`` itself is provided.
        folder: of the run; it may be missing until the first trial finishes.
        listener: of the search.

    Raises:
        UserError: a tracker's package is missing.
    """
    check_installed(names)
    if not names:
        yield listener
        return
    desk = _Desk(names, folder, listener)
    try:
        yield desk.listen
    finally:
        desk.close()


class _Desk:
    """Queues finished trials, and logs them to the trackers in its own thread."""

    def __init__(self, names: tuple[str, ...], folder: Path, listener: Listener) -> None:
        self._folder, self._listener = folder, listener
        self._open: dict[str, Tracker | None] = dict.fromkeys(names)
        self._waiting: queue.Queue[TrialLog | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="trackers", daemon=True)
        self._thread.start()

    def listen(self, event: Event) -> None:
        """Pass the event on, and queue a finished trial for the trackers."""
        self._listener(event)
        if isinstance(event, TrialFinished):
            self._waiting.put(trial_log(event.record, self._folder))

    def close(self) -> None:
        """Wait until all trials are logged, but at most `LAST_SECONDS`."""
        self._waiting.put(None)
        self._thread.join(LAST_SECONDS)
        if self._thread.is_alive():
            names = ", ".join(self._open)
            text = f"{names}: did not take the last trials within {LAST_SECONDS:g} s"
            self._listener(Warned(text))

    def _work(self) -> None:
        while (trial := self._waiting.get()) is not None:
            for name in list(self._open):
                try:
                    self._tracker(name).log(trial)
                except Exception as error:  # no error of a tracker may end a search
                    del self._open[name]
                    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                    text = f"{name} failed and is left out from {trial.name} on: {reason}"
                    self._listener(Warned(text))

    def _tracker(self, name: str) -> Tracker:
        tracker = self._open[name]
        if tracker is None:  # opened with the first trial: the folder is there by then
            tracker = self._open[name] = TRACKERS[name].open(self._folder)
        return tracker


def trial_log(record: TrialRecord, folder: Path) -> TrialLog:
    """Return a trial's record in the form that trackers take.

    Args:
        record: of a finished trial.
        folder: of the run; the epochs come from the trial's history.csv.
    """
    measured = record.measured
    seconds = {f"seconds/{phase}": value for phase, value in record.seconds.items()}
    numbers = {k: float(v) for k, v in {**measured, **seconds}.items() if is_number(v)}  # type: ignore[arg-type]
    return TrialLog(
        name=f"trial-{record.number:04d}",
        status=record.status,
        pipeline=record.pipeline,
        params={"seed": record.conditions.seed, **flat(record.recipe)},
        metrics=numbers,
        epochs=_epochs(folder / "trials" / f"{record.number:04d}" / "history.csv"),
        reason=record.error or "",
    )


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as ``{"a.b": value}``; each value is a number or text."""
    result: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            result |= flat(value, f"{name}.")
        else:
            result[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return result


def _epochs(file: Path) -> tuple[Mapping[str, float], ...]:
    """Return the numbers of each epoch; none if there is no such file."""
    if not file.is_file():
        return ()
    rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    return tuple(
        {name: number for name, text in row.items() if math.isfinite(number := _number(text))}
        for row in rows
    )


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
