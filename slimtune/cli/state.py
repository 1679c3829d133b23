"""What the global options, the verbs and the error boundary share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class State:
    """The global options, and what an interrupted verb leaves behind.

    Attributes:
        verbosity: -1 quiet, 0 normal, 1 verbose.
        color: whether output may be coloured.
        debug: print tracebacks.
        json: print events and results as JSON.
        run: the run folder of the verb, which keeps finished trials if the verb is interrupted.
    """

    verbosity: int = 0
    color: bool = True
    debug: bool = False
    json: bool = False
    run: Path | None = None
