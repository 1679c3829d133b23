"""When a search ends before its last trial: its time is over, or its front no longer grows."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from slimtune.results.objectives import Objective
from slimtune.results.pareto.front import adds_volume
from slimtune.results.parsing import parse_duration
from slimtune.search.proposing.past_trials import EARLY_STOPPED
from slimtune.search.settings.config import SearchConfig

StopCheck = Callable[[Sequence[FrozenTrial]], str]
"""From all trials of a study to the reason why no new one may start; empty if one may."""


@dataclass(frozen=True)
class Budget:
    """What ends a search early; its time starts when it is created.

    Attributes:
        duration: no new trial starts after this time, such as ``10m``; None for no limit.
        flat: no new trial starts once this many finished trials in a row, with failed ones,
            have added no hypervolume to the earlier ones; None for no such rule.
        clock: monotonic, in seconds.
        started: the start on that clock.
    """

    duration: str | None = None
    flat: int | None = None
    clock: Callable[[], float] = time.monotonic
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, config: SearchConfig) -> "Budget":
        """Return the budget of a search that starts now."""
        return cls(config.time_budget, config.stop_when_flat)

    def stop_check(
        self, objectives: Sequence[Objective], reference: Mapping[str, float]
    ) -> StopCheck:
        """Return the function that decides whether a search ends early.

        Args:
            objectives: in the order of the study's directions.
            reference: the reference point of the hypervolume, by objective name.
        """
        corner = [reference[objective.name] for objective in objectives]
        seconds = None if self.duration is None else parse_duration(self.duration)

        def why_stop(history: Sequence[FrozenTrial]) -> str:
            if seconds is not None and self.clock() - self.started >= seconds:
                return f"the time budget of {self.duration} is spent"
            if self.flat is not None and is_flat(history, self.flat, objectives, corner):
                return f"the last {self.flat} trials added no hypervolume"
            return ""

        return why_stop


def is_flat(
    history: Sequence[FrozenTrial],
    trials: int,
    objectives: Sequence[Objective],
    reference: Sequence[float],
) -> bool:
    """Return whether the last finished trials added no hypervolume to the earlier ones.

    While no trial satisfies the constraints, coming closer to them counts as a gain.

    Args:
        history: all trials of the study.
        trials: how many of the last finished ones, by number.
        objectives: in the order of the study's directions.
        reference: the reference point, in the same order.
    """
    finished = [trial for trial in history if trial.state.is_finished()]
    if len(finished) < trials:
        return False
    before, last = finished[:-trials], finished[-trials:]
    if not any(map(_keeps_limits, before)):
        return min(map(_violation, last)) >= min(map(_violation, before), default=math.inf)
    if not any(map(_keeps_limits, last)):
        return True
    directions = [objective.direction for objective in objectives]
    return not adds_volume(_values(last), _values(before), reference, directions)


def _values(trials: Sequence[FrozenTrial]) -> np.ndarray:
    """Return the values of the trials that satisfy the constraints, (n, m)."""
    return np.array([trial.values for trial in trials if _keeps_limits(trial)], dtype=float)


def _keeps_limits(trial: FrozenTrial) -> bool:
    return _violation(trial) == 0


def _violation(trial: FrozenTrial) -> float:
    """Return the sum of a trial's violations; infinite if it was stopped or is not complete."""
    if trial.state is not TrialState.COMPLETE or EARLY_STOPPED in trial.constraints:
        return math.inf
    return sum(max(0.0, value) for value in trial.constraints.values())
