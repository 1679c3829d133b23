"""Carries out one recipe on a workload, without any search."""

from collections.abc import Mapping
from typing import Any

from slimtune.compression.pipeline import Keep, StudentState, keep_nothing
from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.search.forecast.checks import check_recipe
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import Handover, run_trial
from slimtune.workload.types import Workload


def compress_once(
    workload: Workload,
    recipe: Mapping[str, Any],
    conditions: Conditions,
    *,
    start: StudentState | None = None,
    keep: Keep = keep_nothing,
) -> Outcome:
    """Run one recipe on a workload without any search, as trial 0.

    Args:
        workload: data, baseline and teacher.
        recipe: in its JSON form.
        conditions: of the trial.
        start: a student after some of the recipe's stages, to continue from.
        keep: called with the student after the stages ``prune`` and ``train``.

    Raises:
        UserError: the recipe is invalid, or does not fit the network.
    """
    check_recipe(Recipe.from_dict(dict(recipe)), workload)
    spec = TrialSpec(0, dict(recipe), conditions)
    return run_trial(workload, spec, handover=Handover(start, keep))
