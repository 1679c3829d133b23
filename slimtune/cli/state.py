"""What the global options and a verb tell each other, and the error boundary."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class State:
    """What the global options and the verb tell the error boundary.

    Attributes:
        verbosity: -1 quiet, 0 normal, 1 verbose.
        color: whether coloured output is allowed at all.
        debug: show tracebacks.
        json: write what happens, and results, as JSON.
        run: folder that keeps what was finished if the verb is interrupted.
    """

    verbosity: int = 0
    color: bool = True
    debug: bool = False
    json: bool = False
    run: Path | None = None
