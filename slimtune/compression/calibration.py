"""Calibration images: a few training images, evenly spread and not augmented."""

import numpy as np
import torch
from torch import Tensor

from slimtune.workload.augment import normalise
from slimtune.workload.types import Dataset, Workload

SCORING_IMAGES = 256
"""Training images on which gradients are computed for pruning methods that need them."""


def spread(workload: Workload | Dataset, n: int) -> np.ndarray:
    """Return ``n`` indices evenly spread over the training split, which may be sorted.

    Args:
        workload: its training images are chosen from.
        n: how many at most.
    """
    count = len(workload.train)
    return np.linspace(0, count - 1, min(n, count)).astype(np.int64)


def calibration_batch(workload: Workload | Dataset, n: int, device: str) -> tuple[Tensor, Tensor]:
    """Return ``n`` normalised training images, not augmented, and their labels.

    Args:
        workload: gives the images and how they are normalised.
        n: how many at most.
        device: where the tensors are.

    Returns:
        float32, (n, channels, height, width), and int64, (n,).
    """
    chosen = spread(workload, n)
    pixels = torch.from_numpy(workload.train.images[chosen]).to(device)
    labels = torch.from_numpy(workload.train.labels[chosen]).to(device)
    return normalise(pixels, workload.mean, workload.std), labels
