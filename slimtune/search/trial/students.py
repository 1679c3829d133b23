"""The networks other than the baseline that trials start from."""

from pathlib import Path

from torch import nn

from slimtune.compression.pipeline import Build
from slimtune.compression.pruning.stage.surgery import remember_unprunable
from slimtune.workload.computed_weights import fold_computed_weights, load_and_fold
from slimtune.workload.types import Architecture, Workload
from slimtune.workload.zoo.build import build


def build_student(architecture: Architecture, weights: str | None) -> nn.Module:
    """Return a network of the zoo, trained elsewhere or untrained.

    Args:
        architecture: how to build it.
        weights: a file of weights; None: the network is untrained.

    Raises:
        UserError: no such network, or weights that do not belong to it.
    """
    network = build(architecture)
    if weights is not None:
        load_and_fold(network, Path(weights).expanduser())
    return fold_computed_weights(network)


def student_builder(workload: Workload) -> Build:
    """Return `build_student` for the trials of a workload.

    Its networks remember which of their channel groups must stay whole, if the workload knows
    it. Otherwise every trial would have to cut copies to find out, which takes seconds.

    Args:
        workload: see `Workload.unprunable_groups`.
    """

    def build_one(architecture: Architecture, weights: str | None) -> nn.Module:
        network = build_student(architecture, weights)
        remember_unprunable(network, workload.unprunable_groups.get((architecture.name, weights)))
        return network

    return build_one
