"""Small trials: one recipe on a few images shows whether a technique works."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from slimtune.compression.network.copies import copied
from slimtune.compression.pipeline import Compressed, compress
from slimtune.compression.recipe import Recipe
from slimtune.compression.training.loop import network_logits
from slimtune.conditions import Conditions
from slimtune.measurement.cost import count_cost
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.search.trial.students import build_student
from slimtune.search.trial.trial import check_file
from slimtune.workload.types import Split, Workload

IMAGES = 32
"""Training images, and validation images, of each small trial."""
_FEWER_IMAGES = {1e10: 4, 2e9: 8}
"""The same for networks with more MACs than this: a ViT at 224 pixels takes seconds an image."""


def few_images(workload: Workload, images: int | None = None) -> Workload:
    """Return the workload with a few images of each split, spread over it.

    Args:
        workload: with all of them.
        images: most images of a split; if not given, 32, or fewer for a large network.
    """
    if images is None:
        macs = count_cost(
            copied(workload.baseline, workload.image_shape), workload.image_shape
        ).macs
        images = next((n for above, n in _FEWER_IMAGES.items() if macs > above), IMAGES)

    def few(split: Split) -> Split:
        spread = np.linspace(0, len(split) - 1, min(images, len(split))).astype(np.int64)
        return split.take(spread)

    return dataclasses.replace(
        workload,
        train=few(workload.train),
        validation=few(workload.validation),
        test=few(workload.test),
    )


def small_trial(workload: Workload, recipe: Mapping[str, Any]) -> Compressed:
    """Carry out a recipe, and check its file against the network.

    Args:
        workload: with few images.
        recipe: in its JSON form. Without a ``train`` stage nothing is trained, and batch
            statistics are not measured again, which few images would only make worse.

    Raises:
        TrialError: the recipe cannot be carried out, or the file computes something else.
    """
    typed = Recipe.from_dict({"train": {"epochs": 0, "recalibrate": False}, **recipe})
    outcome = compress_unchecked(workload, typed)
    check_file(workload, typed, outcome)
    return outcome


def compress_unchecked(workload: Workload, recipe: Recipe) -> Compressed:
    """Carry out a recipe, without a check of its file.

    Raises:
        TrialError: the recipe cannot be carried out.
    """
    return compress(
        workload, recipe, Conditions(seed=0), observe=observe_ranges, build=build_student
    )


def both_logits(workload: Workload, outcome: Compressed) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of a compressed network and of its file, float32 (n, classes) each.

    Args:
        workload: with n validation images.
        outcome: of `small_trial` or `compressed`.
    """
    images = workload.validation.images
    network = network_logits(outcome.computed, images, workload).numpy()
    return network, predict(outcome.onnx, images, mean=workload.mean, std=workload.std)
