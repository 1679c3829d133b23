"""The training loop: resident uint8 images, batched augmentation, SGD, cosine decay."""

import csv
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.recipe import Train
from slimtune.errors import NonFiniteError
from slimtune.workload.augment import augment, normalise
from slimtune.workload.types import Dataset, Split, Workload


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training split gave.

    Attributes:
        epoch: counted from 1.
        loss: mean over the epoch's steps, of what was minimised.
        lr: learning rate of the last step.
        validation_accuracy: of the network in training (not yet the file), 0..1.
    """

    epoch: int
    loss: float
    lr: float
    validation_accuracy: float


def train_network(
    model: nn.Module,
    workload: Workload,
    settings: Train,
    distiller: Distiller,
    *,
    teacher: nn.Module | None,
    generator: torch.Generator,
    on_epoch: Callable[[Epoch], None],
) -> list[Epoch]:
    """Train ``model`` in place on the workload's training split and leave it in eval mode.

    Args:
        model: the student, on the device to train on.
        workload: gives images, normalisation and augmentation.
        settings: epochs, learning rate and the rest.
        distiller: mixes the loss on the labels with the teacher's.
        teacher: sees the same augmented images, in eval mode, without gradient; None if the
            distiller needs none.
        generator: the only source of randomness: order, crops and flips.
        on_epoch: called after every epoch.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
    """
    device = next(model.parameters()).device
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches_an_epoch = max(1, math.ceil(len(workload.train) / settings.batch_size))
    optimizer = _sgd(model, settings)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=max(1, settings.epochs * batches_an_epoch)
    )
    history = []
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = torch.zeros((), device=device)
        steps = 0
        for pixels, labels in _batches(workload, settings.batch_size, generator):
            images = normalise(pixels.to(device), workload.mean, workload.std)
            labels = labels.to(device)
            with torch.no_grad():
                soft = teacher(images) if teacher is not None else None
            logits = model(images)
            hard = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
            loss = distiller.loss(hard, logits, soft)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            lr = optimizer.param_groups[0]["lr"]
            cosine.step()
            total += loss.detach()
            steps += 1
        mean_loss = float(total) / max(steps, 1)
        if not math.isfinite(mean_loss):
            raise NonFiniteError(
                f"the loss became {mean_loss} in epoch {epoch}; lower the learning rate"
            )
        accuracy = network_accuracy(model, workload.validation, workload)
        history.append(Epoch(epoch, mean_loss, lr, accuracy))
        on_epoch(history[-1])
    model.eval()
    return history


def network_logits(
    model: nn.Module, images: np.ndarray, workload: Workload | Dataset, batch: int = 500
) -> Tensor:
    """Return the float logits of ``model`` in eval mode, (n, classes), on the CPU.

    Args:
        model: left in eval mode.
        images: uint8, (n, height, width, channels).
        workload: gives the normalisation.
        batch: images at a time.
    """
    model.eval()
    device = next(model.parameters()).device
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + batch]))
            parts.append(model(normalise(pixels.to(device), workload.mean, workload.std)).cpu())
    return torch.cat(parts)


def network_accuracy(model: nn.Module, split: Split, workload: Workload) -> float:
    """Return the share of ``split`` that ``model`` classifies rightly, 0..1."""
    predicted = network_logits(model, split.images, workload).argmax(dim=1).numpy()
    return float((predicted == split.labels).mean())


def history_csv(history: list[Epoch]) -> str:
    """Return the epochs as CSV text with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    return text.getvalue()


def _sgd(model: nn.Module, settings: Train) -> torch.optim.SGD:
    """Weight decay on matrices and filters only: decaying norms and biases helps nobody."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.SGD(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )


def _batches(
    workload: Workload, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield augmented uint8 batches and labels in a new random order."""
    order = torch.randperm(len(workload.train), generator=generator).numpy()
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        if len(chosen) < 2:  # batch normalisation cannot be trained on one image
            continue
        pixels = torch.from_numpy(workload.train.images[chosen])
        labels = torch.from_numpy(workload.train.labels[chosen])
        yield augment(pixels, workload.augmentation, generator), labels
