"""A run as users open it: it can write its report, and load its members as torch modules."""

import html
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from slimtune.errors import SlimtuneError
from slimtune.results import run as runs
from slimtune.results.member import Member as Member
from slimtune.results.reprs import run_words
from slimtune.results.store.folder import RunFolder
from slimtune.results.views.tables import front_table

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, repr=False)
class Run(runs.Run):
    """A run, opened for reading. Every call reads the folder as it is now.

    Attributes:
        folder: the run folder's files.
        snapshot: the records to use instead of reading them again; see `at`.
        loader: makes a torch module of a trial's folder.
        view: limits to use instead of the search's own; see `within`.
    """

    def report(self, path: str | Path | None = None) -> Path:
        """Write one HTML page that explains this run, as ``slimtune report`` does.

        Args:
            path: file of the page, which is replaced if it exists. Default: ``report.html`` in the
                run folder.

        Returns:
            The path of the page.

        Raises:
            UserError: the folder of the file does not exist.
            RunError: a record is damaged, or the disk refuses.
        """
        # Imported here, because opening a run must not wait for the libraries of the report.
        page = import_module("slimtune.results.views.report.page")
        written: Path = page.write_report(self, Path(path or self.path / "report.html"))
        return written

    def _repr_html_(self) -> str:
        """Return the run in one line and its front, for a notebook."""
        try:
            line = f"<p><b>Run</b> {html.escape(run_words(self))}</p>"
            return line + str(front_table(self)._repr_html_())
        except SlimtuneError:
            return f"<p>{html.escape(repr(self))}</p>"


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading, also while a search writes to it.

    torch is imported when a member is loaded, such as by ``run.pick("knee").load()``, not before.

    Raises:
        RunError: the folder is not a slimtune run, is damaged, or has another schema.
    """
    return Run(RunFolder.open(path), loader=_load)


def _load(folder: Path) -> "nn.Module":
    module: nn.Module = import_module("slimtune.search.saved").load_model(folder)
    return module
