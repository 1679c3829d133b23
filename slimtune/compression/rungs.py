"""Rungs, as in successive halving: where a trial can be compared with others and stopped early.

Jamieson, Talwalkar, AISTATS 2016, arXiv:1502.07943; Li et al., "A System for Massively Parallel
Hyperparameter Tuning" (ASHA), MLSys 2020, arXiv:1810.05934.
"""

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
from slimtune.compression.training.loop import network_accuracy
from slimtune.workload.types import Workload

PREVIEW = "preview"
"""What is reported while the file is made that the recipe would give without any training."""


@dataclass(frozen=True)
class Rung:
    """The end of an epoch at which a trial can be judged, with training still ahead of it.

    Attributes:
        name: the stage's name at its end, such as ``"fine-tune"``; within a stage also the epoch
            and the number of epochs, ``"fine-tune 2/8"``, because the learning rate falls with
            the share of epochs done. Only trials at rungs of one name can be compared.
        accuracy: of the network as it is, on the validation split, 0..1.
        at_least: the accuracy with the weights rounded as in the file, but without the training
            or fitting by which a quantizer makes up for it; ``accuracy`` if rounding is done.
        epochs: of training so far, in all stages.
        left: epochs still to come, at least 1.
    """

    name: str
    accuracy: float
    at_least: float
    epochs: int
    left: int


@dataclass(frozen=True)
class Monitor:
    """Callbacks by which a caller watches a recipe being carried out.

    Attributes:
        on_preview: called before any training with the `Compressed` that the recipe would make
            if training did nothing, and whether the final structure is certain to be the same.
        on_rung: called at each rung.
    """

    on_preview: Callable[[Any, bool], None]
    on_rung: Callable[[Rung], None]


@dataclass(frozen=True)
class Place:
    """The end of an epoch, in a recipe.

    Attributes:
        stage: as it is reported, such as ``"recover 1"``.
        epoch: of the stage, counted from 1.
        epochs: of the stage, in all.
        before: epochs of the stages before it.
    """

    stage: str
    epoch: int
    epochs: int
    before: int = 0


def rung_at(recipe: Recipe, place: Place, accuracy: float) -> Rung | None:
    """Return the rung at the end of an epoch; None if it is no rung or the last epoch of all.

    Args:
        recipe: being carried out.
        place: the epoch.
        accuracy: of the network there, on the validation split, 0..1.
    """
    done = place.before + place.epoch
    left = total_epochs(recipe) - done
    name = rung_name(recipe, place)
    return Rung(name, accuracy, accuracy, done, left) if name and left > 0 else None


def is_rung(epoch: int, epochs: int) -> bool:
    """Return whether an epoch, counted from 1, is a power of two or the last of its stage."""
    return epoch == epochs or epoch & (epoch - 1) == 0


def rung_name(recipe: Recipe, place: Place) -> str:
    """Return the name of the rung at the end of an epoch; empty if there is none.

    A fine-tune that removes channels, or that has quantized weights already, has a name of its
    own. Training before pruning has no rungs: the accuracy of the unpruned network tells nothing
    about the pruned one.

    Args:
        recipe: being carried out.
        place: the epoch.
    """
    stage, epoch, epochs = place.stage, place.epoch, place.epochs
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


def is_settled_by_training(recipe: Recipe) -> bool:
    """Return whether the final structure is known only after some training."""
    prune = recipe.prune
    sparse = prune is not None and prune.method.sparsity_epochs > 0
    return recipe.order == "spq" or recipe.softly or recipe.in_steps or sparse


def is_certain(recipe: Recipe) -> bool:
    """Return whether it is known before training how many channels or weights each layer keeps."""
    return (
        not is_settled_by_training(recipe) or recipe.prune is None or recipe.prune.scope == "local"
    )


def without_training(recipe: Recipe) -> Recipe:
    """Return a recipe for a file of the same structure that trains nothing."""
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
    """Return whether weights will still be rounded to fewer than 8 bits after a stage."""
    quantize = recipe.quantize
    few = quantize.bits < 8 or bool(getattr(quantize, "stage_bits", ""))
    return few and stage != "quantize" and recipe.order != "spq"


def rounded_accuracy(
    model: nn.Module, quantizer: Quantizer, images: Tensor, workload: Workload
) -> float:
    """Return the accuracy on the validation split with weights rounded as in the file, 0..1.

    Args:
        model: in eval mode, without fake quantizers; not modified.
        quantizer: rounds the weights.
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
def restored_randomness(device: str) -> Iterator[None]:
    """Restore torch's random generators at the end: later draws do not depend on the block."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        yield
