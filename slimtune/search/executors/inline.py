"""Run the trials in this process, one after another: no Ray, and breakpoints work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slimtune.search.trial.attempt import Aids, AtPhase, Work, attempt
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.process.timeouts import with_time_limit
from slimtune.search.trial.spec import TrialSpec


@dataclass(frozen=True)
class InlineExecutor:
    """Runs trials here; each outcome is told before the next is asked for.

    Attributes:
        timeout: seconds that a trial may take; one that hangs in native code is not ended.
    """

    timeout: float | None = None

    def run(self, work: Work, shared: Any, driver: Driver) -> None:
        """Run every trial that the driver hands out.

        Args:
            work: the body of a trial.
            shared: handed to ``work`` as it is.
            driver: asked until it has no more.

        Raises:
            KeyboardInterrupt: Ctrl-C. The trial at work is not told; all before it have been.
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
