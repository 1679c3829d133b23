"""What a search shows while it runs: a live line on a terminal, plain lines elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from slimtune import __version__
from slimtune.cli import words
from slimtune.results.record import TrialRecord


class Progress:
    """A listener of `run_search` that writes to a console; use it as a context manager.

    Args:
        console: where to write; a live bar is shown only if it is a terminal.
        out: the run folder.
        verbose: also tell every epoch of the baseline and every trial that starts.
    """

    def __init__(self, console: Console, out: Path, verbose: bool = False) -> None:
        self._console = console
        self._out = out
        self._verbose = verbose
        self._finished = self._failed = self._total = 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[last]}", markup=False),
        )
        live = console.is_terminal and not console.quiet
        self._bar = Bar(*columns, console=console, transient=True, disable=not live)
        self._live = live
        self._task = self._bar.add_task("preparing", total=None, last="")

    def __enter__(self) -> Self:
        """Start the live bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the live bar."""
        self._bar.stop()

    def __call__(self, event: str, values: Mapping[str, Any]) -> None:
        """Show one event; an event without a method here is passed over."""
        show = getattr(self, f"_on_{event}", None)
        if show is not None:
            show(values)

    def _line(self, text: str, style: str | None = None) -> None:
        # soft_wrap: a line of a log stays one line, however narrow the window
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    def _on_workload(self, values: Mapping[str, Any]) -> None:
        self._total = values["trials"]
        # not before: a search that is refused has no folder
        self._line(f"slimtune {__version__} · run folder {self._out}")
        channels, height, width = values["image_shape"]
        self._line(
            f"data      {values['data']} · {values['classes']} classes · "
            f"{channels}×{height}×{width} · train {values['train']}, "
            f"validation {values['validation']} (cut from {values['validation_source']}), "
            f"test {values['test']}"
        )
        self._line(
            f"search    {values['model']} · {words.count(values['params'])} params · "
            f"{values['trials']} trials × {values['workers']} workers · seed {values['seed']}"
        )

    def _on_epoch(self, values: Mapping[str, Any]) -> None:
        accuracy = words.accuracy(values["validation_accuracy"])
        text = f"epoch {values['epoch']}  loss {values['loss']:.4f}  validation {accuracy}"
        what = values.get("what", "baseline")
        self._bar.update(self._task, description=what, last=text)
        if self._verbose:
            self._line(f"{what:<8}  {text}")

    def _on_baseline(self, values: Mapping[str, Any]) -> None:
        self._line(
            f"baseline  accuracy {words.accuracy(values['accuracy'])} validation, "
            f"{words.accuracy(values['test_accuracy'])} test · "
            f"{words.objective('size_bytes', values['size_bytes'])} · "
            f"{words.objective('latency_ms', values['latency_ms'])}"
        )
        self._bar.update(self._task, description="trials", total=self._total, last="")

    def _on_teacher(self, values: Mapping[str, Any]) -> None:
        self._line(
            f"teacher   {values['model']} · accuracy {words.accuracy(values['accuracy'])} "
            f"validation, {words.accuracy(values['test_accuracy'])} test"
        )

    def _on_warning(self, values: Mapping[str, Any]) -> None:
        self._line(f"warning: {values['text']}", style="yellow")

    def _on_resumed(self, values: Mapping[str, Any]) -> None:
        records: list[TrialRecord] = values["records"]
        self._finished, self._total = len(records), values["total"]
        self._failed = sum(record.status == "failed" for record in records)
        again = f", {values['again']} will run again" if values["again"] else ""
        self._line(f"resumed   {self._finished} of {self._total} trials are finished{again}")
        self._show_count("")

    def _on_stopping(self, values: Mapping[str, Any]) -> None:
        self._line(
            f"stopping: no new trials; those that run have {values['grace']:g} s to end "
            "(once more: at once)"
        )

    def _on_started(self, values: Mapping[str, Any]) -> None:
        if self._verbose:
            self._line(f"trial {values['number']:4d}  started  {values['pipeline']}")

    def _on_finished(self, values: Mapping[str, Any]) -> None:
        record: TrialRecord = values["record"]
        self._finished += 1
        self._failed += record.status == "failed"
        told = _outcome(record)
        self._show_count(told)
        if not self._live or self._verbose:
            counted = f"{self._finished}/{self._total}"
            self._line(f"trial {record.number:4d}  {counted:>7}  {told}  {record.pipeline}")

    def _show_count(self, last: str) -> None:
        label = f"trials, {self._failed} failed" if self._failed else "trials"
        if self._finished == self._total:
            label = "measuring the front"
        self._bar.update(
            self._task,
            completed=self._finished,
            total=self._total,
            description=label,
            last=last,
        )

    def _on_stopped(self, values: Mapping[str, Any]) -> None:
        self._line(f"stopped   {values['reason']} · {self._finished}/{self._total} trials")
        self._bar.update(self._task, description="measuring the front")

    def _on_finals(self, values: Mapping[str, Any]) -> None:
        members, repeats, epochs = values["members"], values["repeats"], values["epochs"]
        text = f"finals    the front's {words.plural(members, 'member')} again, "
        text += f"{words.plural(repeats, 'seed')} each, {words.plural(epochs, 'epoch')}"
        text += f" (trials: {values['cheap']})" if epochs != values["cheap"] else ""
        finished, total = values["finished"], values["total"]
        self._line(text + (f" · {finished} of {total} are finished" if finished else ""))
        # a new task: the old one's speed says nothing about full length
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task("finals", total=total, completed=finished, last="")

    def _on_final_started(self, values: Mapping[str, Any]) -> None:
        if self._verbose:
            self._line(f"final {values['name']}  started  {values['pipeline']}")

    def _on_final_finished(self, values: Mapping[str, Any]) -> None:
        record: TrialRecord = values["record"]
        finished, total = values["finished"], values["total"]
        told = _outcome(record)
        label = "measuring the front" if finished == total else "finals"
        self._bar.update(self._task, completed=finished, description=label, last=told)
        if not self._live or self._verbose:
            counted = f"{finished}/{total}"
            self._line(f"final {values['name']}  {counted:>7}  {told}  {record.pipeline}")

    def _on_finals_measured(self, values: Mapping[str, Any]) -> None:
        if left := values["left"]:
            trials = "trial" if len(left) == 1 else "trials"
            numbers = ", ".join(map(str, left))
            self._line(f"finals    at full length off the front: {trials} {numbers}")

    def _on_final(self, values: Mapping[str, Any]) -> None:
        self._line(
            f"front     {values['members']} members · hypervolume {values['hypervolume']:.4g}"
        )


def _outcome(record: TrialRecord) -> str:
    if record.status == "failed":
        return f"failed: {record.error}"
    return words.objectives(record.objectives)
