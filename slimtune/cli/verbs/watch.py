"""``slimtune watch``: watch a search from another terminal, without changing its folder."""

import json
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.live import Live

from slimtune.cli.screen.console import json_option, log_console, result_console
from slimtune.cli.screen.interrupted import resume_command
from slimtune.cli.screen.json_events import json_line
from slimtune.cli.screen.live_view import LiveView
from slimtune.cli.screen.progress import outcome
from slimtune.cli.screen.streams import output_failed
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.results.run import Run, open_run
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.status import Status, read_status
from slimtune.results.views.tables import front_json, front_table

EPILOG = "Example: slimtune watch runs/demo"


@click.command("watch", epilog=EPILOG)
@click.argument("run", type=Path)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    metavar="SECONDS",
    help="Time between two looks at the folder; default 2.",
)
@click.option("--once", is_flag=True, help="Show the current state and exit.")
@json_option
@click.pass_obj
def command(state: State, run: Path, interval: float, once: bool) -> None:
    """Watch RUN: its progress, the front so far and the stage of each running trial.

    If the run is finished or interrupted, watch says so, shows the front and exits. q or Ctrl-C
    exits at any time, and the search goes on. Without a terminal, watch prints one line per
    finished trial.
    """
    try:
        _watch(Watcher(run), state, interval, once)
    except KeyboardInterrupt:  # Ctrl-C only ends the watching
        return


class Watcher:
    """A run seen from outside; it reads each record once.

    Args:
        path: the run folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view = LiveView(total=None)
        self.status = read_status(path)
        self.run: Run | None = None
        self._records: dict[int, TrialRecord] = {}

    def look(self) -> list[TrialRecord]:
        """Read the new records and return them: the trials that finished since the last look.

        Raises:
            RunError: the folder is not a run, or a record is damaged.
        """
        self.status = read_status(self.path)
        if self.status.state == "preparing":
            self.view.title = "preparing: the baseline is trained or measured"
            return []
        first = self.run is None
        self.run = self.run or open_run(self.path)
        folder = self.run.folder
        fresh = [folder.record(n) for n in folder.numbers() if n not in self._records]
        self._records |= {record.number: record for record in fresh}
        self._update(fresh, first)
        return fresh

    def _update(self, fresh: list[TrialRecord], first: bool) -> None:
        view = self.view
        view.title, view.total = "trials", self.status.total
        if first:
            begun = self.status.begun
            view.begin(fresh, self.run, None if begun is None else (begun, self.status.before))
        else:
            for record in fresh:
                view.finish(record, outcome(record))
        view.running = {
            trial.number: trial
            for trial in self.status.running
            if trial.number not in self._records
        }

    def summary_line(self) -> str:
        """Return the status of the run, in one line."""
        total = f" of {self.status.total}" if self.status.total else ""
        counts = f" ({self.view.counts})" if self.view.counts else ""
        done = f"{self.view.finished}{total} trials{counts}"
        if self.status.state == "finished":
            why = f": {self.status.reason}" if self.status.reason else ""
            return f"finished{why} · {done}"
        if self.status.state == "interrupted":
            return f"interrupted · {done} · continue with: {resume_command(self.path)}"
        return f"{self.status.state} ({self.status.holder}) · {done}"


def _watch(watcher: Watcher, state: State, interval: float, once: bool) -> None:
    fresh = watcher.look()
    if once or watcher.status.state in ("finished", "interrupted"):
        _show_end(watcher, state)
        return
    console = log_console(state)
    if state.json or not console.is_terminal:
        tell = _tell_json if state.json else _line_teller(watcher, state)
        tell(fresh)
        while watcher.status.state in ("preparing", "running") and not output_failed():
            time.sleep(interval)
            tell(watcher.look())
        _show_end(watcher, state)
        return
    with _keys() as pressed, Live(watcher.view, console=console, transient=True) as live:
        while watcher.status.state in ("preparing", "running") and not output_failed():
            if pressed(interval) == "q":
                return
            watcher.look()
            live.refresh()
    _show_end(watcher, state)


def _line_teller(watcher: Watcher, state: State) -> Callable[[list[TrialRecord]], None]:
    """Print the status of the run, and return a function that prints a line for each trial."""
    console = log_console(state)
    console.print(watcher.summary_line(), markup=False, soft_wrap=True)

    def tell(fresh: list[TrialRecord]) -> None:
        for record in fresh:
            text = f"trial {record.number:4d}  {outcome(record)}  {record.pipeline}"
            console.print(text, markup=False, soft_wrap=True)

    return tell


def _tell_json(fresh: list[TrialRecord]) -> None:
    """Print a line of JSON for each trial."""
    for record in fresh:
        echo(json_line("finished", {"record": record}))


def _show_end(watcher: Watcher, state: State) -> None:
    """Print the status of the run, and its front."""
    status: Status = watcher.status
    if state.json:
        members = [] if watcher.run is None else json.loads(front_json(watcher.run))
        counts = {"finished": watcher.view.finished, "total": status.total}
        counts_and_reason = {"state": status.state, **counts, "reason": status.reason}
        running = [vars(trial) for trial in status.running]
        echo(json_line("status", {**counts_and_reason, "running": running, "members": members}))
        return
    console = log_console(state)
    console.print(watcher.summary_line(), markup=False, soft_wrap=True)
    for trial in watcher.view.running.values():
        line = f"running {trial.number:4d}  {trial.stage or 'starting':<10}  {trial.pipeline}"
        console.print(line, markup=False, soft_wrap=True)
    run = watcher.view.run
    if run is not None and len(front := run.front()):
        result_console(state).print(front_table(run, front))


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Yield a function that waits some seconds for a key, and returns it or an empty text."""
    if not sys.stdin.isatty():
        yield lambda seconds: time.sleep(seconds) or ""  # type: ignore[func-returns-value]
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return sys.stdin.read(1) if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
