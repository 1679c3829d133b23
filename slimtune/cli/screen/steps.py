"""What goes on in a verb that takes long: a line that moves on a terminal, lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from slimtune.workload import load_progress

_PAUSE = 5.0
"""Seconds between two lines on how far the decoding of images is, without a terminal."""


class Steps:
    """Tells step by step what is done, with the time since it began; use it with ``with``.

    Args:
        console: where to; standard error.
        first: the first step; shown on a terminal alone.
        clock: seconds.
    """

    def __init__(
        self, console: Console, first: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._clock = clock
        self._live = console.is_terminal and not console.quiet
        self._picture = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._picture.add_task(first, total=None)
        self._last = clock()
        self._hearing = load_progress.listening(self._decoded)

    def __enter__(self) -> Self:
        """Show the first step; not as a line, for bad input is to be told of in one."""
        if self._live:
            self._picture.start()
        self._hearing.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what moves."""
        self._hearing.__exit__(kind, error, trace)
        if self._live:
            self._picture.stop()

    def __call__(self, what: str) -> None:
        """Say what is done now."""
        self._picture.update(self._task, description=what)
        if not self._live:
            self._console.print(what, markup=False, soft_wrap=True)

    def _decoded(self, done: int, total: int) -> None:
        text = f"decoding images: {done} of {total}"
        if self._live:
            self._picture.update(self._task, description=text)
        elif self._clock() - self._last >= _PAUSE:
            self._last = self._clock()
            self(text)
