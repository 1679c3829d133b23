"""Progress of the Python functions: lines on standard error, or the cell of a notebook."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from slimtune.cli.screen import phrases
from slimtune.cli.screen.notebook import NotebookProgress, in_notebook
from slimtune.cli.screen.progress import Progress
from slimtune.workload import load_progress


def console_for(quiet: bool) -> Console:
    """Return the console that progress is written to."""
    # Not as HTML: a notebook would make an output of each line.
    return Console(stderr=True, highlight=False, quiet=quiet, force_jupyter=False)


def progress_for(console: Console, out: Path) -> Progress:
    """Return the listener that shows a search: in the cell of a notebook, else on the console."""
    if not console.quiet and in_notebook():
        return NotebookProgress(out)
    return Progress(console, out)


def line_writer(console: Console) -> Callable[[str], None]:
    """Return a function that writes one line."""
    return lambda text: console.print(text, markup=False, soft_wrap=True)


def show_decoding(console: Console) -> AbstractContextManager[None]:
    """Return a context in which the decoding of images is shown."""
    write = line_writer(console)
    return load_progress.listening(
        lambda done, total: write(phrases.decoding(done, total)), load_progress.LINES
    )
