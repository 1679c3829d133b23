"""The training loop that tutorials show: what benchmarks/training.py and gpu.py compare with.

One PIL image at a time through torchvision's transforms, a DataLoader, NCHW, float32, and the
teacher in every step. The loss, the optimizer and the schedule are slimtune's, so that only the
loop differs.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from slimtune.compression.distillation.base import softened_divergence
from slimtune.compression.stages import Train
from slimtune.compression.training.optimizers import lr_factor, make_optimizer
from slimtune.workload.types import Workload

ALPHA, TEMPERATURE = 0.9, 4.0


class Images(Dataset[tuple[Tensor, int]]):
    """The training split of a workload, changed one image at a time."""

    def __init__(self, workload: Workload) -> None:
        height, width = workload.train.images.shape[1:3]
        self._split = workload.train
        self._change = transforms.Compose(
            [
                transforms.RandomCrop((height, width), padding=workload.augmentation.padding),
                transforms.RandomHorizontalFlip(0.5 if workload.augmentation.flip else 0.0),
                transforms.ToTensor(),
                transforms.Normalize(workload.mean, workload.std),
            ]
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one changed image and its label."""
        pixels = np.ascontiguousarray(self._split.images[index])
        return self._change(Image.fromarray(pixels)), int(self._split.labels[index])


def train_naively(
    model: nn.Module,
    workload: Workload,
    settings: Train,
    *,
    teacher: nn.Module | None = None,
    seed: int = 0,
    device: str = "cpu",
    processes: int = 0,
) -> None:
    """Train ``model`` in place.

    Args:
        model: the student, on ``device``.
        workload: gives images and augmentation.
        settings: optimizer, learning rate, schedule, batch size.
        teacher: for Hinton's distillation; None: labels alone.
        seed: of order, crops and flips.
        device: to train on.
        processes: that the DataLoader takes beside this one.
    """
    torch.manual_seed(seed)
    loader = DataLoader(Images(workload), settings.batch_size, shuffle=True, num_workers=processes)
    optimizer = make_optimizer([model], settings)
    steps = math.ceil(len(workload.train) / settings.batch_size) * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_factor(settings, steps))
    model.train()
    for _ in range(settings.epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            images, labels = images.to(device), labels.to(device)
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            if teacher is not None:
                with torch.no_grad():
                    taught = teacher(images)
                soft = softened_divergence(logits, taught, TEMPERATURE)
                loss = ALPHA * TEMPERATURE**2 * soft + (1 - ALPHA) * loss
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
