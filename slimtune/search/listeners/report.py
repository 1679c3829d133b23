"""Writes the report at the end of a search."""

from slimtune.errors import SlimtuneError
from slimtune.results.run import Run
from slimtune.results.views.report.page import write_report
from slimtune.search.listeners.events import Listener, ReportWritten, Warned


def leave_report(run: Run, listener: Listener) -> None:
    """Write report.html into the run folder, and send `ReportWritten`; `Warned` if that fails.

    A search that has its front must not fail because of its report.
    """
    try:
        path = write_report(run, run.path / "report.html")
    except SlimtuneError as error:
        listener(Warned(f"no report: {error}"))
    else:
        listener(ReportWritten(str(path)))
