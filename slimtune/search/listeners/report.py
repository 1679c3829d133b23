"""The report that a search leaves at its end."""

from slimtune.errors import SlimtuneError
from slimtune.results.run import Run
from slimtune.results.views.report.page import write_report
from slimtune.search.listeners.events import Listener, ReportWritten, Warned


def leave_report(run: Run, listener: Listener) -> None:
    """Write report.html into the run folder and tell `ReportWritten`, or else `Warned`.

    A search that has its answer does not fail for want of a picture of it.
    """
    try:
        path = write_report(run, run.path / "report.html")
    except SlimtuneError as error:
        listener(Warned(f"no report: {error}"))
    else:
        listener(ReportWritten(str(path)))
