"""The facts of a search before its first trial: for listeners, and for run.json."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from slimtune.measurement.accuracy import majority_share
from slimtune.measurement.host import describe_host
from slimtune.results.objectives import parse_objectives
from slimtune.results.pareto.limits import resolve_limits
from slimtune.search.executors.machines import workers
from slimtune.search.listeners.events import WorkloadReady
from slimtune.search.resuming.resume import space_words
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.own_code import code_digests
from slimtune.workload.fingerprint import workload_fingerprint
from slimtune.workload.normalisation import in_words
from slimtune.workload.types import Workload


def workload_facts(config: SearchConfig, workload: Workload, params: int) -> WorkloadReady:
    """Return the event with the facts of a search's workload.

    Args:
        config: of the search.
        workload: its data and networks.
        params: number of the baseline's parameters.
    """
    return WorkloadReady(
        data=workload.dataset,
        image_shape=workload.image_shape,
        classes=len(workload.classes),
        train=len(workload.train),
        validation=len(workload.validation),
        test=len(workload.test),
        validation_source=workload.validation_source,
        notes=workload.notes,
        model=config.model,
        trials=config.total_trials(),
        workers=workers(config),
        seed=config.seed,
        normalisation=normalisation_words(workload),
        params=params,
    )


def normalisation_words(workload: Workload) -> str:
    """Return how pixels become the network's input, and where that comes from."""
    return in_words(workload.mean, workload.std, workload.normalised_by)


def manifest_of(
    config: SearchConfig,
    workload: Workload,
    baseline: Mapping[str, Any],
    twins: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the content of run.json, with the limits and the reference point of the whole run.

    Args:
        config: of the search.
        workload: with the trained baseline.
        baseline: its measurements, by name.
        twins: of a grid, see `grid_twins`.
    """
    objectives = parse_objectives(config.objectives)
    points = config.points()
    return {
        "config": config.model_dump(mode="json"),
        "space": space_words(config.resolved_space()),
        "objectives": [o.name for o in objectives],
        "reference_point": {o.name: o.worst(baseline[o.name]) for o in objectives},
        "start_points": len(points),
        **({"twins": list(twins)} if config.sampler == "grid" else {"first_points": points}),
        "limits": resolve_limits(config.constraints.model_dump(), baseline),
        "workload": {
            "fingerprint": workload_fingerprint(workload),
            "validation_source": workload.validation_source,
            "notes": list(workload.notes),
            "code": code_digests(config),
            "train": len(workload.train),
            "validation": len(workload.validation),
            "test": len(workload.test),
            "chance": majority_share(workload.validation.labels),
            "classes": list(workload.classes),
            "mean": list(workload.mean),
            "std": list(workload.std),
            "normalised_by": workload.normalised_by,
            "normalisation": normalisation_words(workload),
            "augmentation": dataclasses.asdict(workload.augmentation),
            "image_shape": list(workload.image_shape),
            "architecture": vars(workload.architecture),
        },
        "host": describe_host(),
    }
