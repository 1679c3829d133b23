"""Run one trial so that its own errors become an outcome, in every executor alike."""

import traceback
from collections.abc import Callable
from typing import Any

from slimtune.search.spec import Outcome, TrialSpec

Work = Callable[[Any, TrialSpec], Outcome]
"""Turn (the shared inputs, a spec) into an outcome: the body of a trial."""

OnEvent = Callable[[str, TrialSpec | Outcome], None]
"""Called with ``("start", spec)`` and ``("finish", outcome)``, in the driver."""


def attempt(work: Work, shared: Any, spec: TrialSpec) -> Outcome:
    """Return what ``work`` makes, or a failed outcome when it raises.

    An exception here repeats with the same seed, so it is no reason to try again: only the
    death of a process is. The traceback goes into the file ``error.txt``.
    """
    try:
        return work(shared, spec)
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        return Outcome(
            number=spec.number,
            status="failed",
            files={"error.txt": traceback.format_exc().encode()},
            reason=f"{type(error).__name__}: {first_line}",
        )


def ignore_event(_name: str, _what: TrialSpec | Outcome) -> None:
    """Do nothing: the default of ``on_event``."""
