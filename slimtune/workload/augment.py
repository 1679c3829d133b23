"""Random crops, flips and normalisation of a whole batch at once, on resident uint8 pixels.

The border of a crop is black *before* normalisation, as in the transform that the published
CIFAR checkpoints were trained with. A border of zeros after normalisation is grey instead, and
costs about three points of accuracy as soon as batch-norm statistics are computed on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from slimtune.workload.types import Augmentation


@dataclass(frozen=True)
class Changes:
    """What augmentation does to each of n images.

    Attributes:
        mirrored: bool, (n, 1); None: no image is.
        top: int64, (n, 1): first row of the crop in the image with its border; None: no crop.
        left: the same of the first column.
    """

    mirrored: Tensor | None
    top: Tensor | None
    left: Tensor | None

    def take(self, chosen: Tensor) -> "Changes":
        """Return those of the images at the indices ``chosen``, in that order."""
        return self._each(lambda part: part[chosen])

    def to(self, device: torch.device) -> "Changes":
        """Return the same on another device."""
        return self._each(lambda part: part.to(device))

    def _each(self, convert: Callable[[Tensor], Tensor]) -> "Changes":
        parts = (self.mirrored, self.top, self.left)
        return Changes(*(None if part is None else convert(part) for part in parts))


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Crop each image at random out of a black border, then mirror it with probability 1/2.

    Every draw comes from ``generator``, so equal generator states give equal images. Nothing
    is drawn for a change that is switched off.

    Args:
        images: uint8, (n, height, width, channels); not modified.
        augmentation: how wide the border is, and whether to mirror.
        generator: source of randomness; may live on another device than the images.

    Returns:
        uint8, the shape of ``images``; ``images`` itself when nothing is to be done.
    """
    return change(images, draw_changes(len(images), augmentation, generator), augmentation)


def draw_changes(n: int, augmentation: Augmentation, generator: torch.Generator) -> Changes:
    """Draw what `augment` does to each of ``n`` images, on the generator's device."""
    border = augmentation.padding
    mirrored = _draw(2, n, generator).bool() if augmentation.flip else None
    top = _draw(2 * border + 1, n, generator) if border else None
    left = _draw(2 * border + 1, n, generator) if border else None
    return Changes(mirrored, top, left)


def change(images: Tensor, changes: Changes, augmentation: Augmentation) -> Tensor:
    """Crop and mirror each image as drawn.

    Args:
        images: uint8, (n, height, width, channels); not modified.
        changes: of these n images; may live on another device.
        augmentation: that they were drawn for.

    Returns:
        As `augment`.
    """
    if changes.mirrored is None and changes.top is None:
        return images
    n, height, width, channels = images.shape
    device, border = images.device, augmentation.padding
    rows = torch.arange(height, device=device).expand(n, height)
    columns = torch.arange(width, device=device).expand(n, width)
    if changes.mirrored is not None:
        columns = torch.where(changes.mirrored.to(device), width - 1 - columns, columns)
    if changes.top is not None and changes.left is not None:
        images = F.pad(images, (0, 0, border, border, border, border))
        rows = rows + changes.top.to(device)
        columns = columns + changes.left.to(device)
    padded_height, padded_width = height + 2 * border, width + 2 * border
    first_rows = torch.arange(n, device=device) * padded_height
    pixels = (first_rows[:, None, None] + rows[:, :, None]) * padded_width + columns[:, None, :]
    # index_select on whole pixels is twice as fast as indexing with three tensors.
    chosen = images.reshape(-1, channels).index_select(0, pixels.reshape(-1))
    return chosen.view(n, height, width, channels)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn raw pixels into network input: ``(pixel / 255 - mean) / std`` for each channel.

    Args:
        images: uint8, (n, height, width, channels).
        mean: per channel, of pixels scaled to 0..1.
        std: per channel, of pixels scaled to 0..1, above 0.

    Returns:
        float32, (n, channels, height, width), contiguous in that order, as every network
        expects it; a convolution with weights channels-last takes it just as well.
    """
    pixels = images.permute(0, 3, 1, 2)
    scaled = pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    shape = (1, -1, 1, 1)
    means = torch.tensor(mean, dtype=torch.float32, device=images.device).view(shape)
    stds = torch.tensor(std, dtype=torch.float32, device=images.device).view(shape)
    return scaled.sub_(means).div_(stds)


def _draw(below: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, below, (n, 1), generator=generator, device=generator.device)
