"""The samplers: Optuna's, with all settings stated, and made anew for every draw.

A sampler here has no memory. Its seed comes from the run's seed and the trial's number, and its
knowledge from the study. So a resumed search makes the same proposals as one that was never
stopped; a sampler that lives as long as the process would start its random numbers anew.

- ``tpe`` models the results. It handles dimensions that only some recipes have.
- ``nsga2`` and ``nsga3`` breed generations. Like ``qmc`` they need `suggest_flat`.
- ``random`` draws uniformly. ``qmc`` covers the space evenly: one scrambled Sobol sequence a run.
"""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import optuna
import torch
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import (
    BaseSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial
from torch.quasirandom import SobolEngine

from slimtune.search.settings.config import POPULATION
from slimtune.search.trial.spec import trial_seed

_Sampler = TypeVar("_Sampler", bound=BaseSampler)

FLAT = ("nsga2", "nsga3", "qmc")
"""Samplers that need every dimension of the space in every trial."""
STARTUP_TRIALS = 10
"""Finished trials before TPE models anything; until then draws are uniform."""
DRAWS = 60
"""Draws in search of a new recipe; if all are old, the space counts as exhausted."""
MOST_DIMENSIONS = 64
"""Dimensions of the Sobol sequence; any more of a larger space are drawn at random."""
MODELLED_DRAWS = 10
"""Of these, the draws by the model; it may be so concentrated that all its draws are old."""


def make_sampler(
    name: str, seed: int, *, number: int, attempt: int, history: list[FrozenTrial]
) -> BaseSampler:
    """Return the sampler for one draw of one trial.

    Args:
        name: a `SamplerName`; trials of a grid beyond its list are drawn uniformly.
        seed: of the run.
        number: of the trial.
        attempt: how many draws for this trial gave a recipe that exists already.
        history: all trials before it, each with its user attribute ``draws``.
    """
    own = trial_seed(trial_seed(seed, number), attempt)
    modelled = attempt < MODELLED_DRAWS
    if name == "qmc":
        before = sum(trial.user_attrs.get("draws", 1) for trial in history)
        return _Sobol(seed, before + attempt)
    if name in ("nsga2", "nsga3"):
        return _nsga(name, seed, own, None if modelled else 1.0)
    if name == "tpe" and modelled:
        return _tpe(own)
    return RandomSampler(seed=own)


def _tpe(seed: int) -> BaseSampler:
    return _stated(
        TPESampler,
        n_startup_trials=STARTUP_TRIALS,
        multivariate=True,
        group=True,
        constant_liar=True,
        seed=seed,
    )


def _nsga(name: str, run_seed: int, seed: int, mutation: float | None) -> BaseSampler:
    """Return NSGA; with a mutation of 1, every gene of a child is drawn uniformly.

    Each proposal determines the parents of its generation anew from the study, so the choice of
    parents must not depend on the proposal; see `NSGAIIISampler`.
    """
    settings: dict[str, Any] = {
        "population_size": POPULATION,
        "mutation_prob": mutation,
        "seed": seed,
    }
    if name == "nsga2":
        return NSGAIISampler(**settings)
    return _stated(NSGAIIISampler, chooser=run_seed, **settings)


def _stated(sampler: Callable[..., _Sampler], **settings: Any) -> _Sampler:
    """Return a sampler without Optuna's warning that it or a setting of it is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return sampler(**settings)


class NSGAIIISampler(optuna.samplers.NSGAIIISampler):
    """NSGA-III whose choice of parents depends only on the study and on a seed of the run.

    NSGA-III chooses some of the parents at random. The class has the name of Optuna's class,
    because that name is part of the attribute under which a study stores generations.

    Args:
        chooser: seed of that random choice.
        settings: of Optuna's class.
    """

    def __init__(self, chooser: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._chooser = chooser

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the parents of a generation, with a random choice that starts anew for each."""
        fresh = _stated(
            NSGAIIISampler,
            chooser=self._chooser,
            population_size=self.population_size,
            seed=self._chooser,
        )
        return super(NSGAIIISampler, fresh).select_parent(study, generation)


class _Sobol(BaseSampler):
    """Point ``index`` of the run's scrambled Sobol sequence.

    Every dimension that is drawn takes the next coordinate; a flat space draws its dimensions
    always in the same order. Optuna's own sampler does not fit: it counts points in attributes of
    the study, but ours is a copy for one draw, and it draws the first trial at random.
    """

    def __init__(self, seed: int, index: int) -> None:
        engine = SobolEngine(MOST_DIMENSIONS, scramble=True, seed=seed)
        if index > 0:  # for 0, torch would go back by one
            engine.fast_forward(index)
        self._coordinates = iter(engine.draw(1, dtype=torch.float64)[0].tolist())
        self._rest = RandomSampler(seed=trial_seed(seed, index))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return no space: each dimension is drawn by `sample_independent`."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing, as `infer_relative_search_space` says."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Return the value at the next coordinate."""
        at = next(self._coordinates, None)
        if at is None:
            return self._rest.sample_independent(study, trial, name, distribution)
        return value_at(distribution, at)


def value_at(distribution: BaseDistribution, at: float) -> Any:
    """Return the value of a distribution at the quantile ``at``, in [0, 1)."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(at * len(distribution.choices))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        value = low * (high / low) ** at
        return round(value) if isinstance(distribution, IntDistribution) else value
    if step is None:
        return low + at * (high - low)
    return low + int(at * (round((high - low) / step) + 1)) * step
