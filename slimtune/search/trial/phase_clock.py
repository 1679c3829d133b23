"""Times the phases of a trial, and writes its log.

A phase is whatever the trial reports: a stage of its recipe, or a step such as ``export``.
"""

import io
import time
from collections.abc import Callable, Mapping

from slimtune.compression.rungs import PREVIEW
from slimtune.search.trial.attempt import ignore_phase


class PhaseClock:
    """Measures the seconds of each phase, and collects the lines of log.txt.

    Args:
        tell: called with the name of each phase that begins.

    Attributes:
        seconds: of the phases that have ended, by name; a phase that comes back adds to its own.
    """

    def __init__(self, tell: Callable[[str], None] = ignore_phase) -> None:
        self._tell = tell
        self.seconds: dict[str, float] = {}
        self._log = io.StringIO()
        self._phase = ""
        self._started = time.monotonic()

    def report(self, phase: str, values: Mapping[str, float]) -> None:
        """Log a line of ``phase``; another name than before ends the previous phase."""
        if phase != self._phase:
            self.stop()
            self._phase, self._started = phase, time.monotonic()
            self._tell(phase)
        if phase == PREVIEW:  # with and without a judge, a trial must write the same log
            return
        detail = " ".join(f"{name}={value:.6g}" for name, value in values.items())
        self._log.write(f"{phase} {detail}".rstrip() + "\n")

    def stop(self) -> None:
        """End the current phase."""
        if self._phase:
            seconds = time.monotonic() - self._started
            self.seconds[self._phase] = round(self.seconds.get(self._phase, 0.0) + seconds, 3)
        self._phase = ""

    def so_far(self) -> dict[str, float]:
        """Return the seconds by phase up to now; the current phase continues."""
        phase = self._phase
        self.stop()
        self._phase, self._started = phase, time.monotonic()
        return dict(self.seconds)

    def text(self) -> str:
        """Return the log so far."""
        return self._log.getvalue()
