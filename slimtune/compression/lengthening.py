"""A recipe of a cheap search with every fine-tune at full length."""

import dataclasses
from collections.abc import Callable
from typing import Any

from slimtune.compression.pruning.stage.schedules import rate_for
from slimtune.compression.recipe import Recipe
from slimtune.compression.settings import MOST_EPOCHS
from slimtune.compression.stages import MOST_STEP_EPOCHS, Prune


def lengthened(recipe: Recipe, cheap: int, full: int) -> Recipe:
    """Return ``recipe`` with every fine-tune longer, in the ratio ``full / cheap``.

    A training of n epochs (the fine-tune, the training with fake quantizers, recovery after a step
    of pruning, sparse training) gets ``n * full / cheap`` epochs, rounded. It gets at most
    ``full``, because the search did not shorten a training that was longer, and never fewer than
    n. Trainings of 0 epochs stay so. Everything else stays the same, the amount too: with the
    schedule ``per_epoch``, less is removed at the end of each epoch.

    Args:
        recipe: as the search ran it.
        cheap: the longest fine-tune of the search (``train.epochs``), at least 0.
        full: its new length, at least ``cheap``; an equal number changes nothing.
    """

    def longer(epochs: int, most: int = MOST_EPOCHS) -> int:
        scaled = round(epochs * full / cheap) if cheap else epochs
        return max(epochs, min(scaled, full, most))

    train = dataclasses.replace(recipe.train, epochs=longer(recipe.train.epochs))
    quantize: Any = recipe.quantize
    if quantize.epochs:  # quantizers after training have no such field, and 0 here
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
