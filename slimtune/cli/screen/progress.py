"""What a search shows while it runs: a live picture on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from slimtune.cli.screen import words
from slimtune.cli.screen.live_view import LiveView
from slimtune.errors import SlimtuneError
from slimtune.results.limit_words import conditions
from slimtune.results.run import Run, open_run
from slimtune.results.stop_reason import stopped_words
from slimtune.results.store.record import TrialRecord
from slimtune.results.units import plural
from slimtune.version import __version__

_SILENCE = 10.0


class Progress:
    """A listener of `run_search` that writes to a console; use it as a context manager.

    Args:
        console: where to write; a live picture is shown only if it is a terminal.
        out: the run folder.
        verbose: also tell every epoch of the baseline, and every trial that starts or finishes.
        clock: seconds; without a terminal an epoch is told after ten without a line.
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
        self._told = clock()
        self._live = console.is_terminal and not console.quiet
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

    def __call__(self, event: str, values: Mapping[str, Any]) -> None:
        """Show one event; an event without a method here is passed over."""
        show = getattr(self, f"_on_{event}", None)
        if show is not None:
            show(values)

    def _line(self, text: str, style: str | None = None) -> None:
        # soft_wrap: a line of a log stays one line, however narrow the window
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    def _on_workload(self, values: Mapping[str, Any]) -> None:
        self._view.total = values["trials"]
        # not before: a search that is refused has no folder
        self._line(f"slimtune {__version__} · run folder {self._out}")
        channels, height, width = values["image_shape"]
        self._line(
            f"data      {values['data']} · {values['classes']} classes · "
            f"{channels}×{height}×{width} · train {values['train']}, "
            f"validation {values['validation']} ({_origin(values['validation_source'])}), "
            f"test {values['test']}"
        )
        for line in words.notes(values.get("notes", ())):
            self._line(line)
        if pixels := values.get("normalisation"):
            self._line(f"pixels    {pixels}")
        self._line(
            f"search    {values['model']} · {words.count(values['params'])} params · "
            f"{values['trials']} trials × {values['workers']} workers · seed {values['seed']}"
        )

    def _on_decoding(self, values: Mapping[str, Any]) -> None:
        text = f"decoding images: {values['images']} of {values['of']}"
        self._view.title = text
        if not self._live and self._clock() - self._told >= _SILENCE:
            self._line(text)
            self._told = self._clock()

    def _on_epoch(self, values: Mapping[str, Any]) -> None:
        accuracy = words.accuracy(values["validation_accuracy"])
        text = f"epoch {values['epoch']}  loss {values['loss']:.4f}  validation {accuracy}"
        what = values.get("what", "baseline")
        self._view.title = f"{what}  {text}"
        due = not self._live and self._clock() - self._told >= _SILENCE
        if self._verbose or due:
            self._line(f"{what:<8}  {text}")
            self._told = self._clock()

    def _on_baseline(self, values: Mapping[str, Any]) -> None:
        stable = values.get("latency_stable") is not False
        self._line(
            f"baseline  accuracy {words.accuracy(values['accuracy'])} validation, "
            f"{words.accuracy(values['test_accuracy'])} test · "
            f"{words.objective('size_bytes', values['size_bytes'])} · "
            f"{words.objective('latency_ms', values['latency_ms'], stable)}"
        )
        self._view.title = "starting workers"

    def _on_limits(self, values: Mapping[str, Any]) -> None:
        text = conditions(values["limits"], values["asked"]) or "none"
        if "before" in values:
            text += f" (before: {conditions(values['before'], values['asked_before']) or 'none'})"
        self._line(f"limits    {text}")
        if numbers := values.get("stopped"):
            those = ", ".join(map(str, numbers))
            self._line(
                f"limits    {plural(len(numbers), 'trial')} stopped under earlier limits stay "
                f"stopped ({those}); slimtune rerun {self._out} --trial N runs one to its end"
            )

    def _on_teacher(self, values: Mapping[str, Any]) -> None:
        self._line(
            f"teacher   {values['model']} · accuracy {words.accuracy(values['accuracy'])} "
            f"validation, {words.accuracy(values['test_accuracy'])} test"
        )

    def _on_warning(self, values: Mapping[str, Any]) -> None:
        self._line(f"warning: {values['text']}", style="yellow")

    def _on_resumed(self, values: Mapping[str, Any]) -> None:
        records: list[TrialRecord] = values["records"]
        self._view.total = values["total"]
        self._view.begin(records, self._opened())
        self._view.title = "trials"
        again = f", {values['again']} will run again" if values["again"] else ""
        self._line(f"resumed   {len(records)} of {values['total']} trials are finished{again}")

    def _on_stopping(self, values: Mapping[str, Any]) -> None:
        self._line(
            f"stopping: no new trial starts; running trials have {values['grace']:g} s to finish "
            "(repeat to stop at once)"
        )

    def _on_stuck(self, values: Mapping[str, Any]) -> None:
        self._picture.stop()  # the process ends here and now, and must leave the cursor behind

    def _on_started(self, values: Mapping[str, Any]) -> None:
        if self._view.title != "trials":
            self._view.begin([], self._opened())
            self._view.title = "trials"
        self._view.start(values["number"], values["pipeline"])
        if self._verbose:
            self._line(f"trial {values['number']:4d}  started  {values['pipeline']}")

    def _on_stage(self, values: Mapping[str, Any]) -> None:
        self._view.stage(values["number"], values["stage"])

    def _on_finished(self, values: Mapping[str, Any]) -> None:
        record: TrialRecord = values["record"]
        told = outcome(record)
        self._view.finish(record, told)
        if not self._live or self._verbose:
            counted = f"{self._view.finished}/{self._view.total}"
            reused = f"  ({record.reused} from the store)" if record.reused else ""
            line = f"trial {record.number:4d}  {counted:>7}  {told}  {record.pipeline}{reused}"
            self._line(line)
        if self._view.finished == self._view.total:
            self._view.title = "trials, measuring the front"

    def _on_stopped(self, values: Mapping[str, Any]) -> None:
        self._line(
            f"stopped   {values['reason']} · {self._view.finished}/{self._view.total} trials"
        )
        self._view.title = "trials, measuring the front"

    def _on_finals(self, values: Mapping[str, Any]) -> None:
        members, repeats, epochs = values["members"], values["repeats"], values["epochs"]
        text = f"finals    the front's {plural(members, 'member')} again, "
        text += f"{plural(repeats, 'seed')} each, {plural(epochs, 'epoch')}"
        text += f" (trials: {values['cheap']})" if epochs != values["cheap"] else ""
        finished, total = values["finished"], values["total"]
        self._line(text + (f" · {finished} of {total} are finished" if finished else ""))
        self._view.finals(finished, total)

    def _on_final_started(self, values: Mapping[str, Any]) -> None:
        if self._verbose:
            self._line(f"final {values['name']}  started  {values['pipeline']}")

    def _on_final_finished(self, values: Mapping[str, Any]) -> None:
        record: TrialRecord = values["record"]
        finished, total = values["finished"], values["total"]
        told = outcome(record)
        self._view.finals(finished, total, f"final {values['name']}: {told}")
        if not self._live or self._verbose:
            counted = f"{finished}/{total}"
            self._line(f"final {values['name']}  {counted:>7}  {told}  {record.pipeline}")

    def _on_finals_measured(self, values: Mapping[str, Any]) -> None:
        if left := values["left"]:
            trials = "trial" if len(left) == 1 else "trials"
            numbers = ", ".join(map(str, left))
            self._line(f"finals    no longer on the front at full length: {trials} {numbers}")

    def _on_final(self, values: Mapping[str, Any]) -> None:
        volume = values.get("share", values["hypervolume"])
        self._line(f"front     {values['members']} members · hypervolume {volume:.4g}")

    def _on_report(self, values: Mapping[str, Any]) -> None:
        self._line(f"report    {values['path']}")

    def _opened(self) -> Run | None:
        """Return the run, if it can be shown: the picture is no reason to stop."""
        if not self._live:
            return None
        try:
            return open_run(self._out)
        except SlimtuneError:
            return None


def outcome(record: TrialRecord) -> str:
    """Return how a trial ended, in one line: its objectives, or why it has none."""
    if record.status == "complete":
        return words.objectives(record.objectives, record.stable)
    if record.status == "stopped":
        return stopped_words(record.error)
    return f"{record.status}: {record.error}"


def _origin(validation_source: str) -> str:
    return "its own" if validation_source == "val" else f"cut from {validation_source}"
