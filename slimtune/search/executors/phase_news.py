"""Reports to the driver which phase each trial on Ray is in."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import ray

from slimtune.search.trial.attempt import AtPhase

EVERY = 1.0
"""Seconds between two looks into the mailbox."""


class PhaseNews:
    """Reads the mailbox from a thread of its own, and reports each new phase as `AtPhase`.

    If the mailbox does not answer, nothing is reported, and the search continues.

    Args:
        mailbox: an actor whose ``phases()`` returns trial number -> phase.
        on_event: called from that thread.
        every: seconds between two looks.
    """

    def __init__(
        self, mailbox: Any, on_event: Callable[[AtPhase], None], every: float = EVERY
    ) -> None:
        self._mailbox = mailbox
        self._on_event = on_event
        self._every = every
        self._phases: dict[int, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="phase-news", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the thread."""
        self._over.set()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            try:
                phases: dict[int, str] = ray.get(self._mailbox.phases.remote(), timeout=5)
            except Exception:  # Ray is ending, or too busy; the trials' outcomes will show which
                continue
            for number, phase in phases.items():
                if self._phases.get(number) != phase and not self._over.is_set():
                    self._phases[number] = phase
                    self._on_event(AtPhase(number, phase))
