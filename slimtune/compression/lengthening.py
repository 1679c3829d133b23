"""The same recipe with more time: what a cheap search found, trained at full length."""

import dataclasses
from collections.abc import Callable
from typing import Any

from slimtune.compression.pruning.stage.schedules import rate_for
from slimtune.compression.recipe import Recipe
from slimtune.compression.settings import MOST_EPOCHS
from slimtune.compression.stages import MOST_STEP_EPOCHS, Prune


def lengthened(recipe: Recipe, cheap: int, full: int) -> Recipe:
    """Return ``recipe`` with every fine-tune longer, in the ratio ``full / cheap``.

    A stage that trains n epochs (after pruning, with fake quantizers, of recovery after a step of
    pruning, of sparse learning) trains ``n * full / cheap``, rounded; but ``full`` at most, for a
    stage whose length the search did not cut has nothing to catch up on, and never fewer than n.
    What trains nothing still does. All else stays as it is, and so does how much is removed: of a
    schedule per epoch, less goes at the end of each.

    Args:
        recipe: as the search ran it.
        cheap: the longest fine-tune of the search (``train.epochs``), at least 0.
        full: what that one becomes, at least ``cheap``; the same changes nothing.
    """

    def longer(epochs: int, most: int = MOST_EPOCHS) -> int:
        scaled = round(epochs * full / cheap) if cheap else epochs
        return max(epochs, min(scaled, full, most))

    train = dataclasses.replace(recipe.train, epochs=longer(recipe.train.epochs))
    quantize: Any = recipe.quantize
    if quantize.epochs:  # after training, it is no field but says that there are none
        quantize = dataclasses.replace(quantize, epochs=longer(quantize.epochs))
    prune = (
        None if recipe.prune is None else _longer_pruning(recipe.prune, recipe.in_steps, longer)
    )
    if prune is not None and prune.schedule == "per_epoch" and train != recipe.train:
        prune = dataclasses.replace(prune, rate=rate_for(recipe.amount, train.epochs))
    return dataclasses.replace(recipe, train=train, quantize=quantize, prune=prune)


def _longer_pruning(prune: Prune, in_steps: bool, longer: Callable[..., int]) -> Prune:
    method = prune.method
    if method.sparsity_epochs:
        method = dataclasses.replace(method, sparsity_epochs=longer(method.sparsity_epochs))
    recovery = longer(prune.step_epochs, MOST_STEP_EPOCHS) if in_steps else prune.step_epochs
    return dataclasses.replace(prune, method=method, step_epochs=recovery)
