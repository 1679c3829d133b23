"""How the functions show how far they are: lines on standard error, in a notebook in the cell."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from slimtune.cli.screen.notebook import NotebookProgress, in_notebook
from slimtune.cli.screen.progress import Progress
from slimtune.workload import load_progress


def console_for(quiet: bool) -> Console:
    """Return the console that progress is written to."""
    # Not as HTML: in a notebook each line would be a picture of its own.
    return Console(stderr=True, highlight=False, quiet=quiet, force_jupyter=False)


def progress_for(console: Console, out: Path) -> Progress:
    """Return what shows a search in ``out``: in the cell of a notebook, else on the console."""
    if not console.quiet and in_notebook():
        return NotebookProgress(out)
    return Progress(console, out)


def line_writer(console: Console) -> Callable[[str], None]:
    """Return a function that writes one line."""
    return lambda text: console.print(text, markup=False, soft_wrap=True)


def show_decoding(console: Console) -> AbstractContextManager[None]:
    """Tell, while the context lasts, how far the reading of images is."""
    tell = line_writer(console)
    return load_progress.listening(
        lambda done, total: tell(f"decoding images: {done} of {total}"), load_progress.LINES
    )
