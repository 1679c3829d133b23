"""How often a long wait prints a line where there is no picture that moves."""

import time
from collections.abc import Callable


class Throttle:
    """Tells when the next line is due.

    Args:
        pause: seconds between two lines; the first pause begins now.
        clock: seconds.
    """

    def __init__(self, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._last = clock()

    def is_due(self) -> bool:
        """Return whether the pause is over."""
        return self._clock() - self._last >= self._pause

    def restart(self) -> None:
        """Begin the next pause: a line has been printed."""
        self._last = self._clock()
