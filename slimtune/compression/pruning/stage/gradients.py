"""Gradients of the loss, for methods that score channels by them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNK = 64
"""Images a forward pass: bounds the memory, whatever the size of the calibration batch."""


def mean_gradients(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Leave the gradient of the mean cross entropy over a batch in ``.grad``, in eval mode.

    Earlier gradients are dropped first; frozen parameters get none. In eval mode
    batch norm uses its running statistics, so the gradient does not depend on the chunks beyond
    rounding and no statistics move. Train or eval mode of every module is put back.

    Args:
        model: on the device of ``images``.
        images: normalised, (n, channels, height, width), at least one.
        labels: int64, (n,).
    """
    modes = {module: module.training for module in model.modules()}
    clear_gradients(model)
    try:
        model.eval()
        with torch.inference_mode(False), torch.enable_grad():
            for start in range(0, len(images), CHUNK):
                chunk = slice(start, start + CHUNK)
                loss = F.cross_entropy(model(images[chunk]), labels[chunk], reduction="sum")
                (loss / len(images)).backward()  # type: ignore[no-untyped-call]
    finally:
        for module, mode in modes.items():
            module.training = mode


def clear_gradients(model: nn.Module) -> None:
    """Drop every gradient: after surgery they no longer fit, and they would be saved along."""
    model.zero_grad(set_to_none=True)
