"""The shares of the network that pruning removed, beside the amount that was asked for."""

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
    """Return the shares of MACs and of parameters that were removed with channels, in 0..1.

    Neither equals the amount: the counts of channels are rounded, and a channel takes parameters
    of the layers on both sides of it with it.

    Args:
        workload: holds the baseline.
        recipe: that was carried out.
        compressed: what came out.
        cost: of the compressed network.

    Returns:
        ``macs_removed`` and ``params_removed``, as shares of the student before pruning; empty
        if no channels were pruned.
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
    """Return the pipeline in a few words, with the share that pruning removed if it is certain.

    Args:
        recipe: of the trial.
        measured: its metrics. Those of a stopped trial may be of a structure that training
            would still have changed.
    """
    share = measured.get("macs_removed")
    certain = measured.get("structure_certain", True)
    return recipe.describe(float(share) if share is not None and certain else None)
