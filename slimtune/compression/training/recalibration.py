"""Batch-norm statistics measured again, after weights have changed without training."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slimtune.workload.augment import augment, normalise
from slimtune.workload.types import Split, Workload

STATISTICS_IMAGES = 512
"""Enough: with the training transform, more images move accuracy by less than its noise."""
HELD_OUT_IMAGES = 2000
BATCH = 128
"""The mean of the batches' variances is biased by what differs between batches: not below 64."""


def recalibrate(model: nn.Module, workload: Workload, generator: torch.Generator) -> bool:
    """Recompute the statistics in place; keep them only if held-out accuracy improves.

    Statistics: the mean over batches of 128 of each batch's mean and variance, from 512 training
    images under the exact training transform (crops and flips on raw pixels, then normalisation:
    without the black borders a ResNet-20 loses three points). Held out: up to 2,000 other
    training images, not augmented; validation and test images are not looked at. Of a small
    training split, half at most goes into the statistics. Weights are not touched, dropout is
    off, and equal generator states give equal statistics.

    Li, Wu, Su, Wang, "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning",
    ECCV 2020, arXiv:2007.02491 (adaptive batch normalisation).

    Args:
        model: left in eval mode. Changed in nothing but its statistics.
        workload: training images, and how training augments and normalises them.
        generator: source of randomness: which images, and their augmentation.

    Returns:
        Whether the new statistics were kept; False for a network without batch normalisation,
        such as one into whose weights it has been folded.
    """
    model.eval()
    norms = _norms(model)
    statistics, held_out = _images(workload, generator)
    if not norms or len(statistics) < 2:
        return False
    before = _accuracy(model, held_out, workload)
    saved = [{k: v.clone() for k, v in norm.state_dict().items()} for norm in norms]
    _measure(model, statistics, workload, generator)
    if _accuracy(model, held_out, workload) > before:
        return True
    for norm, state in zip(norms, saved, strict=True):
        norm.load_state_dict(state)
    return False


def settle(model: nn.Module, workload: Workload, generator: torch.Generator) -> bool:
    """Give an untrained network the statistics of training images, in place.

    Without them what an untrained network computes dies out on the way: the logits of a
    MobileNetV2 differ by 1e-9 from image to image, which no integers can tell apart.

    Args:
        model: left in eval mode. Changed in nothing but its statistics.
        workload: at least two training images, all of which are used; and how they are augmented.
        generator: source of randomness of the augmentation.

    Returns:
        Whether there was anything to give.
    """
    model.eval()
    if not _norms(model) or len(workload.train) < 2:
        return False
    _measure(model, workload.train, workload, generator)
    return True


def has_statistics(model: nn.Module) -> bool:
    """Return whether a network has batch-norm statistics that could be measured again."""
    return bool(_norms(model))


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


def _images(workload: Workload, generator: torch.Generator) -> tuple[Split, Split]:
    """Return the images for statistics and the held-out ones, drawn without overlap."""
    order = torch.randperm(len(workload.train), generator=generator).numpy()
    count = min(STATISTICS_IMAGES, len(order) // 2)
    chosen, others = order[:count], order[count : count + HELD_OUT_IMAGES]
    return workload.train.take(chosen), workload.train.take(others)


def _measure(
    model: nn.Module,
    images: Split,
    workload: Workload,
    generator: torch.Generator,
) -> None:
    """Replace the statistics; only the norms are in training mode, so dropout is off."""
    norms = _norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        for pixels in _batches(images):
            changed = augment(pixels, workload.augmentation, generator)
            model(_input(changed, workload, model))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _batches(images: Split) -> list[Tensor]:
    """Return uint8 batches of about 128; the rest is spread, so that none is small."""
    pixels = torch.from_numpy(images.images)
    return list(pixels.tensor_split(max(1, round(len(pixels) / BATCH))))


def _accuracy(model: nn.Module, images: Split, workload: Workload) -> float:
    """Return the share of right answers, in [0, 1]."""
    right, start = 0, 0
    with torch.no_grad():
        for pixels in _batches(images):
            labels = torch.from_numpy(images.labels[start : start + len(pixels)])
            logits = model(_input(pixels, workload, model)).cpu()
            right, start = right + int((logits.argmax(1) == labels).sum()), start + len(pixels)
    return right / len(images)


def _input(pixels: Tensor, workload: Workload, model: nn.Module) -> Tensor:
    device = next(model.parameters()).device
    return normalise(pixels.to(device), workload.mean, workload.std)
