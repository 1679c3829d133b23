"""What a trial spent its time on."""

import io
import time
from collections.abc import Callable, Mapping

from slimtune.compression.rungs import PREVIEW
from slimtune.search.trial.attempt import tell_nobody


class StageClock:
    """Seconds by stage, and the lines of log.txt.

    Args:
        tell: told the name of each new stage.
    """

    def __init__(self, tell: Callable[[str], None] = tell_nobody) -> None:
        self._tell = tell
        self.seconds: dict[str, float] = {}
        self._log = io.StringIO()
        self._stage = ""
        self._started = time.monotonic()

    def report(self, stage: str, values: Mapping[str, float]) -> None:
        """Note that ``stage`` goes on; a new name ends the stage before it."""
        if stage != self._stage:
            self.stop()
            self._stage, self._started = stage, time.monotonic()
            self._tell(stage)
        if stage == PREVIEW:  # the log of a trial that is judged is that of one that is not
            return
        detail = " ".join(f"{name}={value:.6g}" for name, value in values.items())
        self._log.write(f"{stage} {detail}".rstrip() + "\n")

    def stop(self) -> None:
        """End the current stage."""
        if self._stage:
            spent = time.monotonic() - self._started
            self.seconds[self._stage] = round(self.seconds.get(self._stage, 0.0) + spent, 3)
        self._stage = ""

    def so_far(self) -> dict[str, float]:
        """Return the seconds by stage, the current one included, and go on."""
        stage = self._stage
        self.stop()
        self._stage, self._started = stage, time.monotonic()
        return dict(self.seconds)

    def text(self) -> str:
        """Return the log so far."""
        return self._log.getvalue()
