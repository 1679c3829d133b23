"""The steps of a verb that takes long: one moving line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from slimtune.cli.screen import phrases
from slimtune.cli.screen.console import is_live
from slimtune.cli.screen.throttle import Throttle
from slimtune.workload import load_progress

_PAUSE = 5.0
"""Seconds between two lines on the decoding of images, where there is no terminal."""


class Steps:
    """Shows each step, with the time since the first; use it as a context manager.

    Args:
        console: where to write: standard error.
        first: the first step, which only a terminal shows.
        clock: seconds.
    """

    def __init__(
        self, console: Console, first: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._live = is_live(console)
        self._picture = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._picture.add_task(first, total=None)
        self._throttle = Throttle(_PAUSE, clock)
        self._listening = load_progress.listening(self._show_decoding)

    def __enter__(self) -> Self:
        """Show the first step; not as a line, so that bad input leads to one line, the error."""
        if self._live:
            self._picture.start()
        self._listening.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the moving line."""
        self._listening.__exit__(kind, error, trace)
        if self._live:
            self._picture.stop()

    def __call__(self, what: str) -> None:
        """Show the next step."""
        self._picture.update(self._task, description=what)
        if not self._live:
            self._console.print(what, markup=False, soft_wrap=True)

    def _show_decoding(self, done: int, total: int) -> None:
        text = phrases.decoding(done, total)
        if self._live:
            self._picture.update(self._task, description=text)
        elif self._throttle.is_due():
            self._throttle.restart()
            self(text)
