"""Runs the trials in this process, one after another: no Ray, and breakpoints work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slimtune.search.trial.attempt import Aids, AtPhase, Work, attempt
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.process.timeouts import with_time_limit
from slimtune.search.trial.spec import TrialSpec


@dataclass(frozen=True)
class InlineExecutor:
    """Runs trials in this process; tells each outcome before it asks for the next trial.

    Attributes:
        timeout: seconds that a trial may take; it cannot end one that hangs in native code.
    """

    timeout: float | None = None

    def run(self, work: Work, shared: Any, driver: Driver) -> None:
        """Run every trial that the driver supplies.

        Args:
            work: the body of a trial.
            shared: handed to ``work`` as it is.
            driver: asked until it returns no more trials.

        Raises:
            KeyboardInterrupt: Ctrl-C. The driver has been told of every trial before this one.
        """
        work = with_time_limit(work, self.timeout)
        while (spec := driver.ask()) is not None:
            driver.on_event(spec)
            aids = Aids(driver.judge, driver.fetch_entry, tell_phase=_teller(spec, driver))
            outcome = attempt(work, shared, spec, aids)
            driver.tell(outcome)
            driver.on_event(outcome)


def _teller(spec: TrialSpec, driver: Driver) -> Callable[[str], None]:
    return lambda phase: driver.on_event(AtPhase(spec.number, phase))
