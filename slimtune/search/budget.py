"""When a search has had enough, though trials are left."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from slimtune.results.front import gains
from slimtune.results.objectives import Objective


@dataclass
class Budget:
    """What ends a search early; its time runs from the moment it is made.

    Attributes:
        objectives: in the order of the study's directions.
        reference: the worst corner that hypervolume is counted from, by objective name.
        seconds: no new trial after so many; None for no limit.
        flat: no new trial once so many finished ones in a row, failed ones among them, added no
            hypervolume to those before; None for never.
        words: how the user said ``seconds``.
        clock: seconds that never run backwards.
    """

    objectives: Sequence[Objective]
    reference: dict[str, float]
    seconds: float | None = None
    flat: int | None = None
    words: str = ""
    clock: Callable[[], float] = time.monotonic
    started: float = field(default=-1.0)

    def __post_init__(self) -> None:
        if self.started < 0:
            self.started = self.clock()

    def enough(self, history: Sequence[FrozenTrial]) -> str:
        """Return why no new trial shall begin, or an empty string.

        Args:
            history: all trials of the study.
        """
        if self.seconds is not None and self.clock() - self.started >= self.seconds:
            return f"the time budget of {self.words or f'{self.seconds:g} s'} is spent"
        if self.flat is not None and self._is_flat(history, self.flat):
            return f"{self.flat} trials in a row gained no hypervolume"
        return ""

    def _is_flat(self, history: Sequence[FrozenTrial], trials: int) -> bool:
        finished = [trial for trial in history if trial.state.is_finished()]
        if len(finished) < trials:
            return False
        before, last = finished[:-trials], finished[-trials:]
        if not any(map(_keeps_limits, before)):
            # As long as no trial keeps the limits, coming nearer to them is a gain.
            return min(map(_violation, last)) >= min(map(_violation, before), default=np.inf)
        return not gains(
            self._values(last),
            self._values(before),
            [self.reference[known.name] for known in self.objectives],
            [known.direction for known in self.objectives],
        )

    def _values(self, trials: Sequence[FrozenTrial]) -> np.ndarray:
        rows = [trial.values for trial in trials if _keeps_limits(trial)]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.objectives))


def _keeps_limits(trial: FrozenTrial) -> bool:
    return _violation(trial) == 0


def _violation(trial: FrozenTrial) -> float:
    """Return how far a trial is from keeping every limit; a failed one is infinitely far."""
    if trial.state is not TrialState.COMPLETE:
        return np.inf
    return sum(max(0.0, value) for value in trial.constraints.values())
