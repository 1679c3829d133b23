"""One recipe, carried out: the text to read first."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from slimtune.compression.export.onnx_file import Observe, export_onnx
from slimtune.compression.pruning.stage import prune
from slimtune.compression.recipe import Recipe
from slimtune.compression.training import Epoch, train_network
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Workload

Report = Callable[[str, Mapping[str, float]], None]


def report_nothing(stage: str, values: Mapping[str, float]) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Compressed:
    """What a recipe made of the baseline.

    Attributes:
        model: the compressed network, in eval mode, on the CPU.
        onnx: the bytes of the one file that ships.
        kept: for each pruned channel group, the indices that stayed.
        history: one entry an epoch of fine-tuning.
    """

    model: nn.Module
    onnx: bytes
    kept: dict[str, list[int]]
    history: list[Epoch]


def compress(
    workload: Workload,
    recipe: Recipe,
    *,
    seed: int,
    observe: Observe,
    device: str = "cpu",
    report: Report = report_nothing,
) -> Compressed:
    """Carry out ``recipe`` on a copy of the workload's baseline.

    Args:
        workload: data and baseline; not modified.
        recipe: what to do.
        seed: fixes every random choice; with the same threads and device, every bit.
        observe: runs an ONNX file on images and returns the range of each named tensor; handed
            in because only the measurement side knows a runtime.
        device: where to train.
        report: called with the name of each stage as it begins and with each epoch's numbers.

    Raises:
        TrialError: the recipe cannot be carried out on this network.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    student = _copied(workload.baseline)
    kept: dict[str, list[int]] = {}
    history: list[Epoch] = []

    if recipe.prune is not None:
        report("prune", {})
        kept = prune(
            student,
            method=recipe.prune.method,
            amount=recipe.prune.amount,
            scope=recipe.prune.scope,
            round_to=recipe.prune.round_to,
            example=_example(workload),
        )

    if recipe.train.epochs > 0:
        report("fine-tune", {})
        history = train_network(
            student.to(device),
            workload,
            recipe.train,
            recipe.distill,
            teacher=_teacher(workload, device) if recipe.distill.needs_teacher else None,
            generator=generator,
            on_epoch=lambda e: report("fine-tune", {"epoch": e.epoch, "loss": e.loss}),
        )

    student = recipe.quantize.prepare(student.cpu()).eval()

    report("export", {})
    onnx = export_onnx(
        student,
        image_shape=workload.image_shape,
        mean=workload.mean,
        std=workload.std,
        classes=workload.classes,
        quantizer=recipe.quantize,
        calibration=_calibration(workload, recipe.quantize.calibration_images),
        observe=observe,
    )
    return Compressed(student, onnx, kept, history)


def _example(workload: Workload) -> torch.Tensor:
    """Return two blank images to trace with: batch normalisation and flattening need a batch."""
    return torch.zeros(2, *workload.image_shape)


def _calibration(workload: Workload, n: int) -> np.ndarray:
    """Return ``n`` training images as they are, evenly spread: files may be sorted by class."""
    chosen = np.linspace(0, len(workload.train) - 1, min(n, len(workload.train)))
    return workload.train.images[chosen.astype(np.int64)]


def _teacher(workload: Workload, device: str) -> nn.Module:
    return _copied(workload.baseline).requires_grad_(False).to(device)


def _copied(baseline: nn.Module) -> nn.Module:
    """Return a copy whose bits do not depend on where the baseline came from.

    A network that was trained here has its weights channels-last in memory, one that was read
    from a file does not, and torch picks its kernels, and so the last bits, by that.
    """
    network = materialize_shortcuts(copy.deepcopy(baseline)).eval()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
