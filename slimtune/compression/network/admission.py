"""Checks, before anything is trained, whether a network can be compressed at all.

Accuracy is measured in batches, and a file is used one image at a time. Both agree only if the
network treats each image alone.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slimtune.errors import ModelError

IMAGES = 4
_ROUNDING = 1e-5
"""Of the largest logit: what kernels for other batch sizes may differ by in float32."""
_SUSPICIOUS = 1e-3
"""The same where float64, whose rounding is far smaller, cannot be tried."""
_EXACT = 1e-8
"""The same in float64."""


def check_network(network: nn.Module, images: Tensor, name: str) -> None:
    """Check that an image's logits depend on it alone, and that training gives logits too.

    Args:
        network: gives one row of logits an image in eval mode, in which it is left; not changed.
        images: normalised, (n, channels, height, width), at least two that differ.
        name: of the network, for the message.

    Raises:
        ModelError: an image's logits depend on the others of its batch, or on chance, or
            training gives no logits.
    """
    network.eval()
    _check_norms(network, images, name)
    with torch.random.fork_rng([]), torch.no_grad():
        _check_alone(network, images, name)
    _check_training(network, images, name)


def _check_norms(network: nn.Module, images: Tensor, name: str) -> None:
    """Check that no batch norm that is used in evaluation measures the batch."""
    used: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: used.append(name))
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is None
    ]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    if used:
        raise _depends(name, f"the batch norm {used[0]} has track_running_stats=False", True)


def _check_alone(network: nn.Module, images: Tensor, name: str) -> None:
    together = network(images)
    if _far(network(images), together) > _ROUNDING:
        raise ModelError(
            f"{name} gives other logits each time it sees the same images in evaluation; make "
            "random parts, such as dropout, depend on self.training"
        )
    alone = _one_by_one(network, images, name)
    far = _far(alone, together)
    if far <= _ROUNDING:
        return
    exact = _far_in_double(network, images)
    if far > _SUSPICIOUS if exact is None else exact > _EXACT:
        reason = f"alone or in a batch of {len(images)} they differ by {far:.2g} of the largest"
        raise _depends(name, reason)


def _one_by_one(network: nn.Module, images: Tensor, name: str) -> Tensor:
    try:
        rows = [network(image[None]) for image in images]
    except Exception as error:  # whatever foreign code raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _depends(name, f"it cannot run on one image alone: {reason}") from None
    wanted = (1, *network(images).shape[1:])
    for row in rows:
        if row.shape != wanted:
            raise _depends(
                name, f"one image alone gives the shape {tuple(row.shape)} instead of {wanted}"
            )
    return torch.cat(rows)


def _depends(name: str, reason: str, norm: bool = False) -> ModelError:
    way_out = (
        "build it with running statistics"
        if norm
        else "make forward treat each image alone (no statistics over the batch, no squeeze())"
    )
    return ModelError(
        f"the logits {name} gives an image in evaluation depend on the rest of its batch: "
        f"{reason}; {way_out}"
    )


def _far(logits: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two logits, as a part of the largest logit."""
    scale = float(expected.abs().max()) or 1.0
    return float((logits - expected).abs().nan_to_num(0.0).max()) / scale


def _far_in_double(network: nn.Module, images: Tensor) -> float | None:
    """Return the difference in float64; None if the network runs in float32 only."""
    try:
        exact = copy.deepcopy(network).double()
        together = exact(images.double())
        alone = torch.cat([exact(image[None]) for image in images.double()])
    except Exception:
        return None
    return _far(alone, together) if together.dtype == torch.float64 else None


def _check_training(network: nn.Module, images: Tensor, name: str) -> None:
    """Check on a copy that training gives logits of the shape that evaluation gives."""
    with torch.random.fork_rng([]), torch.enable_grad():
        learner = copy.deepcopy(network).train()
        output = _tried(lambda: learner(images), name)
        expected = _tried(lambda: copy.deepcopy(network)(images), name)
    if not isinstance(output, Tensor) or output.shape != expected.shape:
        what = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(
            f"in training {name} returns {what}, in evaluation logits of shape "
            f"{tuple(expected.shape)}; return the logits alone, or as the first of several tensors"
        )


def _tried(call: Callable[[], Tensor], name: str) -> Tensor:
    try:
        return call()
    except Exception as error:  # whatever foreign code raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name} cannot run in training: {reason}; fix its forward") from None
