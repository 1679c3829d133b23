"""The plan of a proposer: which recipes, which of them first, and when to end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Trial
from optuna.trial import FrozenTrial

from slimtune.search.proposing.samplers import FLAT


def never_stop(_history: Sequence[FrozenTrial]) -> str:
    """Return an empty string: the default of ``why_stop``, which ends no search early."""
    return ""


@dataclass(frozen=True)
class ProposalPlan:
    """Which trials a search proposes.

    Attributes:
        suggest: draws a recipe in its JSON form, by ``trial.suggest_*``.
        trials: how many trials the study holds in the end, with those that it has already.
        key: a recipe's identity. A recipe with the key of an earlier one is drawn again; after
            `DRAWS` such draws in a row the search ends. The keys of the study's own recipes are
            computed anew, because a newer version may recognise more recipes as the same.
        start: parameters of the first trials, by number; missing ones are drawn. All of them run,
            even if two make the same recipe.
        seeds: of the first trials, by number; later trials derive theirs from the run's seed.
        sampler: see `make_sampler`; those in `FLAT` need a ``suggest`` that always draws all.
        why_stop: from all trials to the reason why no new one is proposed; empty if one is.
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
