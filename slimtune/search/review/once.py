"""One recipe carried out on a workload, without any search."""

from collections.abc import Mapping
from typing import Any

from slimtune.compression.pipeline import Keep, Progress, keep_nothing
from slimtune.compression.recipe import Recipe
from slimtune.compression.training.precision import Precision
from slimtune.search.forecast.checks import check_recipe
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload.types import Workload


def compress_once(
    workload: Workload,
    recipe: Mapping[str, Any],
    seed: int,
    *,
    start: Progress | None = None,
    keep: Keep = keep_nothing,
    precision: Precision = "float32",
    views: int = 0,
) -> Outcome:
    """Run one recipe on a workload without any search, as trial 0.

    Args:
        workload: data, baseline and teacher.
        recipe: in its JSON form.
        seed: of the trial.
        start: a student some of whose stages are done already.
        keep: called with the student after the stages ``prune`` and ``train``.
        precision: in which networks are trained.
        views: as of `TrialSpec`.

    Raises:
        UserError: no such recipe, or the network cannot be compressed so.
    """
    check_recipe(Recipe.from_dict(dict(recipe)), workload)
    spec = TrialSpec(0, dict(recipe), seed=seed, precision=precision, views=views)
    return run_trial(workload, spec, start=start, keep=keep)
