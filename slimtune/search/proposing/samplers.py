"""Who proposes recipes: Optuna's samplers, each stated in full, each made new for every draw.

A sampler of ours has no memory: its seed comes from the run's seed and the number of the trial,
and all that it knows is in the study. That is why a search that was killed goes on with the very
proposals that it would have made (a seeded sampler that is made once would begin again).

- ``tpe`` models the results and knows conditions: dimensions that only some recipes have.
- ``nsga2`` and ``nsga3`` breed generations. They, like ``qmc``, need `suggest_flat`.
- ``random`` draws evenly; ``qmc`` too, but spread out: one scrambled Sobol sequence a run.
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
"""Tries for a recipe that was not proposed before; then the space counts as used up."""
MOST_DIMENSIONS = 64
"""Of the Sobol sequence; the few that a larger space has beyond are drawn by chance."""
MODELLED_DRAWS = 10
"""Of these, the tries by the model: concentrated as it is, it may never leave what it has seen."""


def make_sampler(
    name: str, seed: int, number: int, attempt: int, history: list[FrozenTrial]
) -> BaseSampler:
    """Return the sampler for one draw of one trial.

    Args:
        name: a `SamplerName`; what a grid does not list is drawn evenly.
        seed: of the run.
        number: of the trial.
        attempt: how many draws for this trial made a recipe that was there already.
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
    """Return NSGA; with a mutation of 1, every gene of a child is drawn evenly.

    Each proposal finds the parents of its generation again from the study, so the choice among
    them must not depend on the proposal; see `NSGAIIISampler`.
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
    """Return a sampler without Optuna's word that it, or one of its settings, is young."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return sampler(**settings)


class NSGAIIISampler(optuna.samplers.NSGAIIISampler):
    """NSGA-III whose parents depend on the study and on a seed of the run's alone.

    NSGA-III draws lots among its parents. It keeps the name of Optuna's class, which is part of
    the name under which a study stores generations.

    Args:
        chooser: seed of those lots.
        settings: of Optuna's class.
    """

    def __init__(self, chooser: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._chooser = chooser

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the parents of a generation, by lots that begin anew for each."""
        fresh = _stated(
            NSGAIIISampler,
            chooser=self._chooser,
            population_size=self.population_size,
            seed=self._chooser,
        )
        return super(NSGAIIISampler, fresh).select_parent(study, generation)


class _Sobol(BaseSampler):
    """Point ``index`` of the run's scrambled Sobol sequence.

    Every dimension takes the next coordinate as it is asked for: of a flat space always in the
    same order. Optuna's own sampler counts its points in the attributes of a study, but a study
    of ours lives for one draw; and it draws the first trial, whose space it copies, by chance.
    """

    def __init__(self, seed: int, index: int) -> None:
        engine = SobolEngine(MOST_DIMENSIONS, scramble=True, seed=seed)
        if index > 0:  # torch would go back by one for 0
            engine.fast_forward(index)
        self._coordinates = iter(engine.draw(1, dtype=torch.float64)[0].tolist())
        self._rest = RandomSampler(seed=trial_seed(seed, index))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return no space: each dimension is drawn when it is asked for."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing, as `infer_relative_search_space` says."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Return the value that the next coordinate stands for."""
        at = next(self._coordinates, None)
        if at is None:
            return self._rest.sample_independent(study, trial, name, distribution)
        return value_at(distribution, at)


def value_at(distribution: BaseDistribution, at: float) -> Any:
    """Return the value of a distribution at ``at`` in [0, 1): equal shares for equal chances."""
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
