"""Where a trial can be looked at on its way, and what of it is known there."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slimtune.compression.network.copies import cloned
from slimtune.compression.quantization.fake_quantizers.baking import as_in_file
from slimtune.compression.quantization.fake_quantizers.own_forward import prepared
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.compression.recipe import Recipe
from slimtune.compression.training.loop import Epoch, network_accuracy
from slimtune.workload.types import Workload

PREVIEW = "preview"
"""The stage in which what would come out is made before any training, for whoever looks on."""


@dataclass(frozen=True)
class Rung:
    """A place that a trial has come to, with training still ahead of it.

    Attributes:
        name: a stage's name at its end, such as ``"fine-tune"``; within a stage with the epoch
            and how many there are, ``"fine-tune 2/8"``, for a learning rate that falls makes
            two epochs of the same number two different things. Only trials at rungs of one
            name can be compared.
        accuracy: of the network as it is, on the validation split, 0..1.
        at_least: the same with the weights rounded as they will be, but without what a
            quantizer does to make up for it; ``accuracy`` if nothing is left to be rounded.
        epochs: of training so far, in all stages.
        left: epochs still to come, at least 1.
    """

    name: str
    accuracy: float
    at_least: float
    epochs: int
    left: int


@dataclass(frozen=True)
class Watch:
    """Who looks on while a recipe is carried out.

    Attributes:
        foresee: before any training, given what the recipe would make if training did nothing
            (a `Compressed`), and whether the structure is certain to be the one that comes out.
        reach: called at each rung.
    """

    foresee: Callable[[Any, bool], None]
    reach: Callable[[Rung], None]


def rung_at(recipe: Recipe, stage: str, epoch: Epoch, epochs: int, before: int) -> Rung | None:
    """Return the rung at the end of an epoch, or None if it is none.

    Args:
        recipe: being carried out.
        stage: as it is reported.
        epoch: of the stage.
        epochs: of the stage, in all.
        before: epochs of the stages before.
    """
    done = before + epoch.epoch
    left = total_epochs(recipe) - done
    name = rung_name(recipe, stage, epoch.epoch, epochs)
    accuracy = epoch.validation_accuracy
    return Rung(name, accuracy, accuracy, done, left) if name and left > 0 else None


def is_rung(epoch: int, epochs: int) -> bool:
    """Return whether an epoch, counted from 1, is a power of two or the last of its stage."""
    return epoch == epochs or epoch & (epoch - 1) == 0


def rung_name(recipe: Recipe, stage: str, epoch: int, epochs: int) -> str:
    """Return the name of the rung at the end of an epoch; empty if there is none.

    Where channels go while a network is trained, or its weights are quantized already, it is
    told apart from others. The training that comes before pruning has no rungs: how good the
    whole network is says nothing of the pruned one.

    Args:
        recipe: being carried out.
        stage: as it is reported, such as ``"recover 1"``.
        epoch: counted from 1.
        epochs: of the stage.
    """
    if stage == "sparsify" or not is_rung(epoch, epochs):
        return ""
    name = stage
    if recipe.in_steps and recipe.prune is not None and stage.startswith("recover"):
        name = f"{stage} of {recipe.prune.steps - 1}"
    if stage == "fine-tune" and recipe.order == "spq":
        name = f"quantized {name}"
    if stage == "fine-tune" and recipe.softly and recipe.prune is not None:
        name = f"{'per-epoch' if recipe.prune.schedule == 'per_epoch' else 'soft'} {name}"
    return name if epoch == epochs else f"{name} {epoch}/{epochs}"


def comes_late(recipe: Recipe) -> bool:
    """Return whether the structure is settled by training, not by surgery before it."""
    prune = recipe.prune
    sparse = prune is not None and prune.method.sparsity_epochs > 0
    return recipe.order == "spq" or recipe.softly or recipe.in_steps or sparse


def is_certain(recipe: Recipe) -> bool:
    """Return whether training has no say in how many channels or weights stay where."""
    return not comes_late(recipe) or recipe.prune is None or recipe.prune.scope == "local"


def untrained(recipe: Recipe) -> Recipe:
    """Return a recipe that makes a file of the same structure at once, without any training."""
    prune = recipe.prune and dataclasses.replace(
        recipe.prune, schedule="one_shot", amount=recipe.amount
    )
    return dataclasses.replace(
        recipe,
        prune=prune,
        quantize=recipe.quantize.quick(),
        train=dataclasses.replace(recipe.train, recalibrate=False),
        order="ppq",
    )


def rounds_later(recipe: Recipe, stage: str) -> bool:
    """Return whether weights are still to be rounded so far that accuracy may suffer."""
    quantize = recipe.quantize
    few = quantize.bits < 8 or bool(getattr(quantize, "stage_bits", ""))
    return few and stage != "quantize" and recipe.order != "spq"


def rounded_accuracy(
    model: nn.Module, quantizer: Quantizer, images: Tensor, workload: Workload
) -> float:
    """Return the accuracy on the validation split with weights rounded as in the file, 0..1.

    Args:
        model: in eval mode, without fake quantizers; not modified.
        quantizer: rounds.
        images: normalised calibration images, on the model's device.
        workload: gives the validation split.
    """
    network = prepared(quantizer, cloned(model), images).eval()
    network = as_in_file(network, quantizer.weights(network, images))
    return network_accuracy(network, workload.validation, workload)


def total_epochs(recipe: Recipe) -> int:
    """Return the epochs of all stages, those before pruning included."""
    return recipe.epochs + (recipe.prune.method.sparsity_epochs if recipe.prune else 0)


@contextmanager
def randomness_kept(device: str) -> Iterator[None]:
    """Put torch's random generators back as they were, so that nothing after can tell."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        yield
