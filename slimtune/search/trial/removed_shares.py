"""What pruning really took, beside what it was asked to take."""

from collections.abc import Mapping
from typing import Any

from slimtune.compression.network.copies import copied
from slimtune.compression.pipeline import Compressed
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE
from slimtune.measurement.cost import Cost, count_cost
from slimtune.search.trial.students import build_student
from slimtune.workload.types import Workload


def removed_shares(
    workload: Workload, recipe: Recipe, compressed: Compressed, cost: Cost
) -> dict[str, float]:
    """Return the shares of MACs and of parameters that went with the channels, in 0..1.

    Counts kept are rounded and parameters go on both sides of a layer, so neither is the amount.

    Args:
        workload: holds the baseline.
        recipe: that was carried out.
        compressed: what came out.
        cost: of that.

    Returns:
        ``macs_removed`` and ``params_removed``, of the student before it was pruned; empty where
        no channels are pruned.
    """
    prune = recipe.effective().prune
    if prune is None or prune.method.removes != "channels":
        return {}
    own = recipe.student.model == BASELINE
    network = workload.baseline if own else build_student(compressed.architecture, None)
    whole = copied(network, workload.image_shape)
    before = count_cost(whole, workload.image_shape)
    return {
        "macs_removed": 1 - cost.macs / before.macs,
        "params_removed": 1 - cost.params / before.params,
    }


def pipeline_words(recipe: Recipe, measured: Mapping[str, Any]) -> str:
    """Return the pipeline in a few words, with what its pruning took if that is certain.

    Args:
        recipe: of the trial.
        measured: its metrics; those of a trial that was stopped may not be of its final form.
    """
    share = measured.get("macs_removed")
    certain = measured.get("structure_certain", True)
    return recipe.describe(float(share) if share is not None and certain else None)
