"""From the events of a search to its trackers, which can neither slow it down nor end it."""

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
"""How long the end of a search waits for a tracker."""


@contextmanager
def tracked(names: tuple[str, ...], folder: Path, listener: Listener) -> Iterator[Listener]:
    """Give a listener that hands finished trials to trackers as well.

    Trackers run in a thread of their own: a server that answers slowly keeps no trial from
    starting. The first error of one is told as a warning, and that one is left out from then on.

    Args:
        names: of trackers; with none, ``listener`` itself is given.
        folder: of the run; need not exist before the first trial finishes.
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
    """Takes finished trials from the search, and brings them to the trackers."""

    def __init__(self, names: tuple[str, ...], folder: Path, listener: Listener) -> None:
        self._folder, self._listener = folder, listener
        self._open: dict[str, Tracker | None] = dict.fromkeys(names)
        self._waiting: queue.Queue[TrialLog | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="trackers", daemon=True)
        self._thread.start()

    def listen(self, event: Event) -> None:
        """Pass the event on, and keep a finished trial for the trackers."""
        self._listener(event)
        if isinstance(event, TrialFinished):
            self._waiting.put(trial_log(event.record, self._folder))

    def close(self) -> None:
        """Wait until all is logged, but not for ever."""
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
                except Exception as error:  # whatever it is, it is no reason to end a search
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
    """Return a trial's record as trackers want it.

    Args:
        record: of a finished trial.
        folder: of the run; the epochs come from the trial's history.csv.
    """
    measured = record.measured
    seconds = {f"seconds/{stage}": value for stage, value in record.seconds.items()}
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
    """Return ``{"a.b": value}`` of nested mappings; what is neither number nor word, as words."""
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
