"""Progress of a search in a notebook: one output that is redrawn, as on a terminal."""

import html
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

from slimtune.cli.screen.console import CleanConsole
from slimtune.cli.screen.live_view import LiveView
from slimtune.cli.screen.progress import Progress
from slimtune.search.listeners.events import Event

PAUSE = 0.5
"""Seconds between two drawings, so that the browser stays responsive."""
_WIDTH, _HEIGHT = 110, 24
_STYLE = (
    "font-family:monospace; white-space:pre; line-height:1.3; margin:0; padding:0; "
    "background:none; border:none"
)

Redraw = Callable[[str], None]


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, which shows HTML."""
    try:
        shell = import_module("IPython").get_ipython()
    except ImportError:  # a notebook's kernel has it
        return False
    return type(shell).__name__ == "ZMQInteractiveShell"


def display_output(text: str) -> Redraw:
    """Show text as an output of the cell that runs; return what replaces it."""
    display = import_module("IPython.display")
    handle = display.display(display.HTML(_as_html(text)), display_id=True)

    def redraw(text: str) -> None:
        handle.update(display.HTML(_as_html(text)))

    return redraw


class NotebookProgress(Progress):
    """A listener of a search that draws everything in one output of a cell.

    Use it as a context manager. At the end the lines stay and the picture is removed, as on a
    terminal.

    Args:
        out: the run folder.
        show: puts text on the screen and returns what replaces it.
        clock: seconds.
    """

    def __init__(
        self,
        out: Path,
        show: Callable[[str], Redraw] = display_output,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(CleanConsole(quiet=True, force_jupyter=False), out, clock=clock)
        self._live = True  # there is a picture, so that single trials need no lines
        self._lines: list[str] = []
        self._drawn = clock()
        self._display = show
        self._redraw: Redraw = _ignore

    def __enter__(self) -> Self:
        """Begin the output."""
        self._redraw = self._display(self._text(picture=True))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the lines, without the picture."""
        self._redraw(self._text(picture=False))

    def __call__(self, event: Event) -> None:
        """Show one event, at once if it adds a line."""
        before = len(self._lines)
        super().__call__(event)
        if len(self._lines) > before or self._clock() - self._drawn >= PAUSE:
            self._drawn = self._clock()
            self._redraw(self._text(picture=True))

    def _line(self, text: str, style: str | None = None) -> None:
        self._lines.append(text)

    def _text(self, picture: bool) -> str:
        return "\n".join([*self._lines, *([plain_picture(self._view)] if picture else [])])


def plain_picture(view: LiveView) -> str:
    """Return the picture of a search as plain lines."""
    console = CleanConsole(width=_WIDTH, height=_HEIGHT, color_system=None, force_jupyter=False)
    with console.capture() as captured:
        console.print(view)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _as_html(text: str) -> str:
    return f'<pre style="{_STYLE}">{html.escape(text)}</pre>'


def _ignore(text: str) -> None:
    """Draw nothing: the output has not begun."""
