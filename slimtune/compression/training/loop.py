"""The training loop: resident uint8 images, batched augmentation, one loss, one optimizer."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.distillation.features import LevelFollower, follow_levels
from slimtune.compression.distillation.none import NoDistillation
from slimtune.compression.distillation.protocol import Batch, Distiller, Level
from slimtune.compression.network.layout import laid_out
from slimtune.compression.stages import Train
from slimtune.compression.training.cached_logits import CachedLogits, View
from slimtune.compression.training.optimizers import Learner
from slimtune.compression.training.pauses import between_batches
from slimtune.compression.training.precision import computing_in
from slimtune.compression.training.regularization import Mixed, dropping_out, mix, mixes_in
from slimtune.conditions import Precision
from slimtune.errors import NonFiniteError
from slimtune.workload.augment import change, draw_changes, normalise
from slimtune.workload.types import Dataset, Split, Workload

_CHECKED_IMAGES = 32
_PIXELS_AT_A_TIME = 500 * 64 * 64
"""In one forward pass without training: 500 images of 224x224 take gigabytes in a ResNet-50."""


@dataclass(frozen=True)
class Epoch:
    """The numbers of one pass over the training split.

    Attributes:
        epoch: counted from 1.
        loss: mean over the epoch's steps of the loss that was minimised.
        lr: learning rate of the last step.
        validation_accuracy: of the network in training, not of the file, 0..1.
    """

    epoch: int
    loss: float
    lr: float
    validation_accuracy: float


@dataclass(frozen=True)
class Hooks:
    """Callbacks during training.

    Attributes:
        after_backward: called when the gradients are computed, before the optimizer's step.
        after_step: called after each step of the optimizer.
        after_epoch: called with the epoch, from 1, and the number of epochs, before the accuracy
            is measured.
        on_epoch: called after each epoch with its numbers.
    """

    after_backward: Callable[[], None] = lambda: None
    after_step: Callable[[], None] = lambda: None
    after_epoch: Callable[[int, int], None] = lambda epoch, epochs: None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None


NO_HOOKS = Hooks()


@dataclass(frozen=True)
class Teaching:
    """What a student learns from, beside the labels.

    Attributes:
        distiller: mixes the loss on the labels with the teacher's.
        teacher: sees the same augmented images, in eval mode, without gradient. A mutual
            distiller trains it too, in place. None if the distiller needs none.
        cached_logits: the teacher's logits, in place of ``teacher``; see `logits_suffice`.
        epochs_before: epochs of earlier stages, by which the cached views continue.
        kept: for each layer of the student that lost output channels, the indices that stayed;
            empty unless the student was cut from the teacher. For feature distillation.
    """

    distiller: Distiller = NoDistillation()
    teacher: nn.Module | None = None
    cached_logits: CachedLogits | None = None
    epochs_before: int = 0
    kept: Mapping[str, Sequence[int]] = field(default_factory=dict)


def train_network(
    model: nn.Module,
    workload: Workload,
    settings: Train,
    teaching: Teaching,
    *,
    generator: torch.Generator,
    hooks: Hooks = NO_HOOKS,
    precision: Precision = "float32",
) -> list[Epoch]:
    """Train ``model`` in place on the workload's training split and leave it in eval mode.

    Args:
        model: the student, on the device to train on.
        workload: gives images, normalisation and augmentation.
        settings: epochs, learning rate and the rest.
        teaching: the distillation method and its teacher.
        generator: source of randomness: order, crops, flips and mixtures.
        hooks: called during training.
        precision: of the operands of convolutions and matrix products; all else is float32.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
        TrialError: the distiller needs feature maps that the two networks do not share.
    """
    distiller, teacher = teaching.distiller, teaching.teacher
    device = next(model.parameters()).device
    laid_out(model, workload.image_shape)
    example = normalise(
        torch.from_numpy(workload.train.images[:2]).to(device), workload.mean, workload.std
    )
    history = []
    with (
        dropping_out(model, settings.dropout, example),
        follow_levels(
            model, teacher, example, features=distiller.features, kept=teaching.kept
        ) as follower,
    ):
        steps = math.ceil(len(workload.train) / settings.batch_size) * settings.epochs
        student = Learner(model, settings, steps, follower.adapters)
        peer = Learner(teacher, settings, steps) if teacher and distiller.mutual else None
        step = _Step(student, teacher, peer, settings, distiller, follower, hooks, precision)
        pixels = _Pixels(workload, device)
        for epoch in range(1, settings.epochs + 1):
            student.train()
            losses = []
            lr = student.lr
            cached = teaching.cached_logits
            view = None if cached is None else cached.view(teaching.epochs_before + epoch - 1)
            for batch in pixels.batches(settings, epoch, generator, view):
                lr = student.lr
                losses.append(step.make(batch))
                between_batches()
            mean_loss = float(torch.stack(losses).mean()) if losses else 0.0
            if not math.isfinite(mean_loss):
                raise NonFiniteError(
                    f"the loss became {mean_loss} in epoch {epoch} of {settings.epochs}; "
                    f"lower the learning rate ({settings.lr:g})"
                )
            hooks.after_epoch(epoch, settings.epochs)
            accuracy = network_accuracy(model, workload.validation, workload)
            history.append(Epoch(epoch, mean_loss, lr, accuracy))
            hooks.on_epoch(history[-1])
    model.eval()
    return history


@dataclass(frozen=True)
class _Batch:
    """One batch as the networks read it: normalised images, labels and cached logits."""

    images: Tensor
    labels: Tensor
    mixed_labels: Tensor
    share: float
    progress: float
    teacher_logits: Tensor | None


@dataclass(frozen=True)
class _Step:
    """A training step: the networks and settings that take part in it."""

    student: Learner
    teacher: nn.Module | None
    peer: Learner | None
    settings: Train
    distiller: Distiller
    follower: LevelFollower
    hooks: Hooks
    precision: Precision

    def make(self, batch: _Batch) -> Tensor:
        """Update the student once, and its peer if it has one; return the student's loss."""
        with computing_in(self.precision, batch.images.device):
            theirs = self._teacher_logits(batch)
            ours = self.student.model(batch.images).float()
            levels = tuple(_in_float32(level) for level in self.follower.levels())
        fixed = None if theirs is None else theirs.detach()
        loss = self.distiller.loss(self._distiller_batch(batch, ours, fixed, levels))
        if self.peer is not None and theirs is not None:
            swapped = self._distiller_batch(batch, theirs, ours.detach(), ())
            self.peer.step(self.distiller.loss(swapped))
        self.student.step(loss, self.hooks.after_backward)
        self.hooks.after_step()
        return loss.detach()

    def _distiller_batch(
        self, batch: _Batch, student: Tensor, teacher: Tensor | None, levels: tuple[Level, ...]
    ) -> Batch:
        """Return what a distiller computes its loss from."""
        smoothing = self.settings.label_smoothing
        hard = F.cross_entropy(student, batch.labels, label_smoothing=smoothing)
        if batch.share < 1:
            other = F.cross_entropy(student, batch.mixed_labels, label_smoothing=smoothing)
            hard = batch.share * hard + (1 - batch.share) * other
        return Batch(
            hard=hard,
            student=student,
            teacher=teacher,
            labels=batch.labels,
            mixed_labels=batch.mixed_labels,
            share=batch.share,
            levels=levels,
            progress=batch.progress,
        )

    def _teacher_logits(self, batch: _Batch) -> Tensor | None:
        """Return the logits of the teacher; with a gradient if it is a peer, which is trained."""
        if batch.teacher_logits is not None:
            return batch.teacher_logits
        if self.peer is not None:
            self.peer.train()
            return self.peer.model(batch.images).float()
        if self.teacher is None:
            return None
        with torch.no_grad():
            return self.teacher(batch.images).float()


def _in_float32(level: Level) -> Level:
    return Level(
        level.student_in.float(),
        level.student_out.float(),
        level.teacher_in.float(),
        level.teacher_out.float(),
    )


def network_logits(
    model: nn.Module,
    images: np.ndarray,
    workload: Workload | Dataset,
    *,
    batch: int | None = None,
    precision: Precision = "float32",
) -> Tensor:
    """Return the float logits of ``model`` in eval mode, (n, classes), on the CPU.

    Args:
        model: left in eval mode.
        images: uint8, (n, height, width, channels).
        workload: gives the normalisation.
        batch: images at a time; 500, and fewer of large images, if not given.
        precision: of the operands of convolutions and matrix products.
    """
    model.eval()
    device = next(model.parameters()).device
    parts = []
    if batch is None:
        batch = max(1, min(500, _PIXELS_AT_A_TIME // (images.shape[1] * images.shape[2])))
    with torch.no_grad(), computing_in(precision, device):
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + batch]))
            seen = normalise(pixels.to(device), workload.mean, workload.std)
            parts.append(model(seen).float().cpu())
            between_batches()
    return torch.cat(parts)


def network_accuracy(model: nn.Module, split: Split, workload: Workload) -> float:
    """Return the share of ``split`` that ``model`` classifies rightly, 0..1."""
    predicted = network_logits(model, split.images, workload).argmax(dim=1).numpy()
    return float((predicted == split.labels).mean())


def history_csv(history: list[Epoch]) -> str:
    """Return the epochs as CSV text with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    return text.getvalue()


class _Pixels:
    """The training images, uint8, on the device where they are augmented; a GPU holds them all.

    Args:
        workload: gives images, labels and what is done to them.
        device: of the student.
    """

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.workload, self.device = workload, device
        self._resident: Tensor | None = None
        if device.type != "cpu":
            self._resident = torch.tensor(workload.train.images, device=device)
        self._labels = torch.tensor(workload.train.labels, device=device)

    def __len__(self) -> int:
        return len(self.workload.train)

    def take(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the raw images at some indices, and their labels."""
        if self._resident is not None:
            return self._resident[chosen], self._labels[chosen]
        images = torch.from_numpy(self.workload.train.images[chosen.numpy()])
        return images, self._labels[chosen]

    def batches(
        self, settings: Train, epoch: int, generator: torch.Generator, view: View | None
    ) -> Iterator[_Batch]:
        """Yield augmented, normalised and perhaps mixed batches in a new random order."""
        workload, device, count = self.workload, self.device, len(self)
        order = torch.randperm(count, generator=generator).to(device)
        if view is None:
            changes, logits = draw_changes(count, workload.augmentation, generator), None
        else:
            changes, logits = view.changes, view.logits.to(device)
        changes = changes.to(device)
        mixing = settings.mixup > 0 and mixes_in(epoch, settings.epochs)
        for start in range(0, count, settings.batch_size):
            chosen = order[start : start + settings.batch_size]
            if len(chosen) < 2:  # batch normalisation cannot be trained on one image
                continue
            raw, labels = self.take(chosen)
            cropped = change(raw, changes.take(chosen), workload.augmentation)
            images = normalise(cropped, workload.mean, workload.std)
            mixed = (
                mix(images, labels, settings.mixup, generator) if mixing else Mixed(images, labels)
            )
            yield _Batch(
                images=mixed.images,
                labels=labels,
                mixed_labels=mixed.labels,
                share=mixed.share,
                progress=(epoch - 1 + start / count) / settings.epochs,
                teacher_logits=None if logits is None else logits[chosen].float(),
            )


def check_finite(network: nn.Module, images: Tensor) -> None:
    """Check that a trained network still computes numbers, on the first images.

    Raises:
        NonFiniteError: some logits are NaN or infinite.
    """
    with torch.no_grad():
        logits = network(images[:_CHECKED_IMAGES])
    if not bool(torch.isfinite(logits).all()):
        raise NonFiniteError(
            "the network's logits must be finite, but training made some NaN or infinite; lower "
            "train.lr or quantize.lr"
        )
