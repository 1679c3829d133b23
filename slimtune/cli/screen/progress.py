"""Progress of a search: a live picture on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from functools import singledispatchmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from slimtune.cli.screen import phrases
from slimtune.cli.screen.console import is_live
from slimtune.cli.screen.live_view import LiveView
from slimtune.cli.screen.throttle import Throttle
from slimtune.errors import SlimtuneError
from slimtune.results.limit_words import limits_words
from slimtune.results.run import Run, open_run
from slimtune.results.stop_reason import stopped_words
from slimtune.results.store.record import TrialRecord
from slimtune.results.units import accuracy, count, plural
from slimtune.search.listeners.events import (
    BaselineMeasured,
    Decoding,
    EpochTrained,
    Event,
    FinalFinished,
    FinalsMeasured,
    FinalsPlanned,
    FinalStarted,
    FrontMeasured,
    LimitsSet,
    PhaseEntered,
    ReportWritten,
    Resumed,
    SearchStopped,
    Stopping,
    Stuck,
    TeacherMeasured,
    TrialFinished,
    TrialStarted,
    Warned,
    WorkloadReady,
)
from slimtune.version import __version__

_PAUSE = 10.0
"""Seconds between two lines on decoding and epochs, where there is no terminal."""


class Progress:
    """A listener of `run_search` that writes to a console; use it as a context manager.

    Args:
        console: where to write; a live picture is shown only if it is a terminal.
        out: the run folder.
        verbose: also print every epoch of the baseline, and every trial that starts or finishes.
        clock: seconds.
    """

    def __init__(
        self,
        console: Console,
        out: Path,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._out = out
        self._verbose = verbose
        self._clock = clock
        self._throttle = Throttle(_PAUSE, clock)
        self._live = is_live(console)
        self._view = LiveView()
        self._picture = Live(
            self._view, console=console, transient=True, refresh_per_second=4, auto_refresh=True
        )

    def __enter__(self) -> Self:
        """Start the live picture."""
        if self._live:
            self._picture.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the live picture."""
        self._picture.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; a type without a method below shows nothing."""
        self._show(event)

    @singledispatchmethod
    def _show(self, event: Event) -> None:
        """Show nothing; the methods below are for the events that people follow."""

    def _line(self, text: str, style: str | None = None) -> None:
        # soft_wrap: a line of a log stays one line, however narrow the window is.
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    @_show.register
    def _on_workload(self, event: WorkloadReady) -> None:
        self._view.total = event.trials
        # Not earlier: a search that is refused has no folder.
        self._line(f"slimtune {__version__} · run folder {self._out}")
        channels, height, width = event.image_shape
        self._line(
            f"data      {event.data} · {event.classes} classes · "
            f"{channels}×{height}×{width} · train {event.train}, "
            f"validation {event.validation} ({_origin(event.validation_source)}), "
            f"test {event.test}"
        )
        for line in phrases.notes(event.notes):
            self._line(line)
        if pixels := event.normalisation:
            self._line(f"pixels    {pixels}")
        self._line(
            f"search    {event.model} · {count(event.params)} params · "
            f"{event.trials} trials × {event.workers} workers · seed {event.seed}"
        )

    @_show.register
    def _on_decoding(self, event: Decoding) -> None:
        text = phrases.decoding(event.images, event.of)
        self._view.title = text
        if not self._live and self._throttle.is_due():
            self._line(text)
            self._throttle.restart()

    @_show.register
    def _on_epoch(self, event: EpochTrained) -> None:
        score = accuracy(event.validation_accuracy)
        text = f"epoch {event.epoch}  loss {event.loss:.4f}  validation {score}"
        self._view.title = f"{event.what}  {text}"
        if self._verbose or (not self._live and self._throttle.is_due()):
            self._line(f"{event.what:<8}  {text}")
            self._throttle.restart()

    @_show.register
    def _on_baseline(self, event: BaselineMeasured) -> None:
        values = event.measured
        stable = values.get("latency_stable") is not False
        self._line(
            f"baseline  accuracy {accuracy(values['accuracy'])} validation, "
            f"{accuracy(values['test_accuracy'])} test · "
            f"{phrases.measurement('size_bytes', values['size_bytes'])} · "
            f"{phrases.measurement('latency_ms', values['latency_ms'], stable)}"
        )
        self._view.title = "starting workers"

    @_show.register
    def _on_limits(self, event: LimitsSet) -> None:
        text = limits_words(event.limits, event.asked) or "none"
        if event.before is not None:
            before = limits_words(event.before, event.asked_before or {}) or "none"
            text += f" (before: {before})"
        self._line(f"limits    {text}")
        if numbers := event.stopped:
            those = ", ".join(map(str, numbers))
            self._line(
                f"limits    {plural(len(numbers), 'trial')} stopped under earlier limits stay "
                f"stopped ({those}); slimtune rerun {self._out} --trial N runs one to its end"
            )

    @_show.register
    def _on_teacher(self, event: TeacherMeasured) -> None:
        self._line(
            f"teacher   {event.model} · accuracy {accuracy(event.measured['accuracy'])} "
            f"validation, {accuracy(event.measured['test_accuracy'])} test"
        )

    @_show.register
    def _on_warning(self, event: Warned) -> None:
        self._line(f"warning: {event.text}", style="yellow")

    @_show.register
    def _on_resumed(self, event: Resumed) -> None:
        self._view.total = event.total
        self._view.begin(event.records, self._open_run())
        self._view.title = "trials"
        again = f", {event.again} will run again" if event.again else ""
        self._line(f"resumed   {len(event.records)} of {event.total} trials are finished{again}")

    @_show.register
    def _on_stopping(self, event: Stopping) -> None:
        self._line(
            f"stopping: no new trial starts; running trials have {event.grace:g} s to finish "
            "(repeat to stop at once)"
        )

    @_show.register
    def _on_stuck(self, event: Stuck) -> None:
        self._picture.stop()  # the process ends at once; the picture has hidden the cursor

    @_show.register
    def _on_started(self, event: TrialStarted) -> None:
        if self._view.title != "trials":
            self._view.begin([], self._open_run())
            self._view.title = "trials"
        self._view.start(event.number, event.pipeline)
        if self._verbose:
            self._line(f"trial {event.number:4d}  started  {event.pipeline}")

    @_show.register
    def _on_stage(self, event: PhaseEntered) -> None:
        self._view.stage(event.number, event.phase)

    @_show.register
    def _on_finished(self, event: TrialFinished) -> None:
        record = event.record
        text = outcome(record)
        self._view.finish(record, text)
        if not self._live or self._verbose:
            counted = f"{self._view.finished}/{self._view.total}"
            reused = f"  ({record.reused} from the store)" if record.reused else ""
            line = f"trial {record.number:4d}  {counted:>7}  {text}  {record.pipeline}{reused}"
            self._line(line)
        if self._view.finished == self._view.total:
            self._view.title = "trials, measuring the front"

    @_show.register
    def _on_stopped(self, event: SearchStopped) -> None:
        self._line(f"stopped   {event.reason} · {self._view.finished}/{self._view.total} trials")
        self._view.title = "trials, measuring the front"

    @_show.register
    def _on_finals(self, event: FinalsPlanned) -> None:
        members, repeats, epochs = event.members, event.repeats, event.epochs
        text = f"finals    the front's {plural(members, 'member')} again, "
        text += f"{plural(repeats, 'seed')} each, {plural(epochs, 'epoch')}"
        text += f" (trials: {event.cheap})" if epochs != event.cheap else ""
        finished, total = event.finished, event.total
        self._line(text + (f" · {finished} of {total} are finished" if finished else ""))
        self._view.finals(finished, total)

    @_show.register
    def _on_final_started(self, event: FinalStarted) -> None:
        if self._verbose:
            self._line(f"final {event.name}  started  {event.pipeline}")

    @_show.register
    def _on_final_finished(self, event: FinalFinished) -> None:
        record = event.record
        finished, total = event.finished, event.total
        text = outcome(record)
        self._view.finals(finished, total, f"final {event.name}: {text}")
        if not self._live or self._verbose:
            counted = f"{finished}/{total}"
            self._line(f"final {event.name}  {counted:>7}  {text}  {record.pipeline}")

    @_show.register
    def _on_finals_measured(self, event: FinalsMeasured) -> None:
        if left := event.left:
            trials = "trial" if len(left) == 1 else "trials"
            numbers = ", ".join(map(str, left))
            self._line(f"finals    no longer on the front at full length: {trials} {numbers}")

    @_show.register
    def _on_final(self, event: FrontMeasured) -> None:
        volume = event.share
        self._line(f"front     {event.members} members · hypervolume {volume:.4g}")

    @_show.register
    def _on_report(self, event: ReportWritten) -> None:
        self._line(f"report    {event.path}")

    def _open_run(self) -> Run | None:
        """Return the run for the picture; None if it cannot be opened, which must stop nothing."""
        if not self._live:
            return None
        try:
            return open_run(self._out)
        except SlimtuneError:
            return None


def outcome(record: TrialRecord) -> str:
    """Return how a trial ended, in one line: its objectives, or why it has none."""
    if record.status == "complete":
        return phrases.measurements(record.objectives, record.stable)
    if record.status == "stopped":
        return stopped_words(record.error)
    return f"{record.status}: {record.error}"


def _origin(validation_source: str) -> str:
    return "its own" if validation_source == "val" else f"cut from {validation_source}"
