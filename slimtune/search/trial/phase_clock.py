"""What a trial spent its time on."""

import io
import time
from collections.abc import Callable, Mapping

from slimtune.compression.rungs import PREVIEW
from slimtune.search.trial.attempt import ignore_phase


class PhaseClock:
    """Seconds by phase, and the lines of log.txt.

    Args:
        tell: told the name of each new phase.
    """

    def __init__(self, tell: Callable[[str], None] = ignore_phase) -> None:
        self._tell = tell
        self.seconds: dict[str, float] = {}
        self._log = io.StringIO()
        self._phase = ""
        self._started = time.monotonic()

    def report(self, phase: str, values: Mapping[str, float]) -> None:
        """Note that ``phase`` goes on; a new name ends the phase before it."""
        if phase != self._phase:
            self.stop()
            self._phase, self._started = phase, time.monotonic()
            self._tell(phase)
        if phase == PREVIEW:  # the log of a trial that is judged is that of one that is not
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
        """Return the seconds by phase, the current one included, and go on."""
        phase = self._phase
        self.stop()
        self._phase, self._started = phase, time.monotonic()
        return dict(self.seconds)

    def text(self) -> str:
        """Return the log so far."""
        return self._log.getvalue()
