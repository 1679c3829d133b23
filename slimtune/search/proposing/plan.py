"""What a proposer is asked for: which recipes, which of them first, and when to end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Trial
from optuna.trial import FrozenTrial

from slimtune.search.proposing.samplers import FLAT


def never_stop(_history: Sequence[FrozenTrial]) -> str:
    """Return an empty string: the default of ``why_stop``."""
    return ""


@dataclass(frozen=True)
class ProposalPlan:
    """Which trials a search proposes.

    Attributes:
        suggest: draws a recipe in its JSON form, by ``trial.suggest_*``.
        trials: numbers that the study shall hold in the end, counting those it has.
        key: a recipe's identity; a recipe with the key of an earlier one is drawn again. After
            `DRAWS` in a row nothing new is proposed: what such trials would tell is in the
            records already. Also asked about the recipes of the study, because a newer version
            may tell more of them alike than the one that wrote them.
        start: parameters of the first trials, by number; what one leaves out is drawn. They are
            run as they are, also when two make the same recipe.
        seeds: of the first trials, by number; later ones get seeds of their own.
        sampler: see `make_sampler`; those in `FLAT` need a ``suggest`` that always draws all.
        why_stop: given all trials, why no new one shall be proposed, or an empty string.
    """

    suggest: Callable[[Trial], dict[str, Any]]
    trials: int
    key: Callable[[dict[str, Any]], str] | None = None
    start: Sequence[dict[str, Any]] = ()
    seeds: Sequence[int] = ()
    sampler: str = "tpe"
    why_stop: Callable[[Sequence[FrozenTrial]], str] = never_stop

    @property
    def is_flat(self) -> bool:
        """Whether every trial draws every dimension of the space."""
        return self.sampler in FLAT
