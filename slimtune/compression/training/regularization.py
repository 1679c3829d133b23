"""Mixup, and dropout in front of the classifier: what keeps a fine-tune from overfitting."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.network.layers import weight_layers


@dataclass(frozen=True)
class Mixed:
    """Images, each a mixture of two.

    Attributes:
        images: (n, channels, height, width).
        labels: int64, (n,): of the images mixed in.
        share: weight of the first image, and of its label, in [0, 1].
    """

    images: Tensor
    labels: Tensor
    share: float = 1.0


def mix(images: Tensor, labels: Tensor, alpha: float, generator: torch.Generator) -> Mixed:
    """Mix each image of a batch with another: ``share * x_i + (1 - share) * x_j``.

    One ``share ~ Beta(alpha, alpha)`` a batch. Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond
    Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412.

    Args:
        images: float32, (n, channels, height, width), normalised.
        labels: int64, (n,).
        alpha: of the Beta distribution, above 0.
        generator: on the CPU; source of randomness.
    """
    seed = int(torch.randint(0, 2**31, (1,), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(len(labels), generator=generator).to(images.device)
    # share * x + (1 - share) * x[other], keeping the layout of x
    return Mixed(torch.lerp(images[other], images, share), labels[other], share)


def mixes_in(epoch: int, epochs: int) -> bool:
    """Return whether mixup is on: the last tenth of the epochs sees images as they are.

    Batch-norm statistics of mixed images are not those of images.

    Args:
        epoch: counted from 1.
        epochs: how many there are; of fewer than 10, none is spared.
    """
    return epoch <= epochs - epochs // 10


@contextmanager
def dropping_out(model: nn.Module, share: float, example: Tensor) -> Iterator[None]:
    """Drop a ``share`` of what the last layer reads, in train mode, for the time of the context.

    Draws from torch's global generator. Nothing of it stays in the network.

    Args:
        model: the network.
        share: in [0, 1); 0 does nothing.
        example: one batch to find the last layer with, on the model's device.
    """
    if share == 0:
        yield
        return
    last = weight_layers(model, example)[-1].module

    def drop(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (F.dropout(inputs[0], share, training=model.training), *inputs[1:])

    hook = last.register_forward_pre_hook(drop)
    try:
        yield
    finally:
        hook.remove()
