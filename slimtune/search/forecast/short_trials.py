"""Short trials: those of a search, on a part of the data and with one epoch a stage."""

from collections.abc import Mapping
from typing import Any

from slimtune.compression.recipe import Recipe
from slimtune.compression.training.cached_logits import logits_suffice
from slimtune.conditions import Conditions
from slimtune.search.forecast.training_precision import training_precision
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Aids, no_judge
from slimtune.search.trial.process.devices import is_available
from slimtune.search.trial.shared_views import FILE as ANSWERS
from slimtune.search.trial.snapshot_key import run_origin
from slimtune.search.trial.spec import Outcome, TrialSpec, shared_seed
from slimtune.search.trial.trial import run_trial
from slimtune.workload.types import Workload


class ShortTrials:
    """Runs trials as the search would, but short and on a part of the data.

    They share the teacher's answers, as the trials of a search do, but no snapshots: recipes cut
    to one epoch have equal beginnings more often than whole ones.

    Args:
        config: of the search.
        part: its workload, with fewer images.
    """

    def __init__(self, config: SearchConfig, part: Workload) -> None:
        self._config = config
        self._part = part
        self._origin = run_origin(part, config.data)
        device = measured_on(config)
        self._precision = training_precision(config, part, device=device).precision
        self._answers: dict[str, Mapping[str, bytes]] = {}
        # If the search stops trials, each is also measured before training, which takes time.
        judge = _stop_none if config.stops else no_judge
        self._aids = Aids(judge=judge, fetch_entry=self._answers.get)

    def carry_out(self, recipe: dict[str, Any], number: int) -> Outcome:
        """Run one recipe in its short form.

        Args:
            recipe: in its JSON form, whole.
            number: of the trial; also its seed.
        """
        resources, device = self._config.per_trial, measured_on(self._config)
        conditions = Conditions(
            seed=number,
            threads=resources.cpus,
            device=device,
            prefix_seed=shared_seed(self._config.seed),
            precision=self._precision,
            views=resources.teacher_views,
        )
        spec = TrialSpec(number, shortened_recipe(recipe), conditions)
        outcome = run_trial(self._part, spec, self._aids, origin=self._origin)
        self._answers |= {key: files for key, files in outcome.entries.items() if ANSWERS in files}
        return outcome


def measured_on(config: SearchConfig) -> str:
    """Return the device on which trials are measured here: that of the search, or else the CPU.

    The GPUs of a cluster may be on other machines than this one.
    """
    device = config.per_trial.device
    return device if is_available(device) else "cpu"


def _stop_none(_outcome: Outcome) -> str:
    """Stop no trial, but take the time that a stopping rule takes."""
    return ""


def shortened_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe with at most one epoch in every stage that trains."""
    short = {stage: dict(v) if isinstance(v, dict) else v for stage, v in recipe.items()}
    if isinstance(prune := short.get("prune"), dict) and prune.get("schedule") == "per_epoch":
        prune["rate"] = Recipe.from_dict(recipe).amount  # removes the same amount in one epoch
    for stage, names in (
        ("train", ("epochs",)),
        ("quantize", ("epochs",)),
        ("prune", ("step_epochs", "sparsity_epochs")),
    ):
        settings = short.get(stage)
        if isinstance(settings, dict):
            settings.update({name: min(1, settings[name]) for name in names if name in settings})
    return short


def epochs_of(recipe: dict[str, Any]) -> int:
    """Return the epochs of fine-tuning of a recipe, those with a sparsity penalty included."""
    effective = Recipe.from_dict(recipe).effective()
    return effective.epochs + (
        0 if effective.prune is None else effective.prune.method.sparsity_epochs
    )


def questions_of(recipe: dict[str, Any]) -> int:
    """Return the epochs in which a recipe uses stored answers of its teacher."""
    effective = Recipe.from_dict(recipe).effective()
    return epochs_of(recipe) if logits_suffice(effective.distill, effective.train) else 0
