"""The report that a search leaves at its end."""

from collections.abc import Callable, Mapping
from typing import Any

from slimtune.errors import SlimtuneError
from slimtune.results.run import Run
from slimtune.results.views.report.page import write_report


def leave_report(run: Run, listener: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Write report.html into the run folder and tell ``report``, or else a ``warning``.

    A search that has its answer does not fail for want of a picture of it.
    """
    try:
        path = write_report(run, run.path / "report.html")
    except SlimtuneError as error:
        listener("warning", {"text": f"no report: {error}"})
    else:
        listener("report", {"path": str(path)})
