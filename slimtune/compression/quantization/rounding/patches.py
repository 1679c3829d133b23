"""Samples of the inputs that a layer multiplies its weights with, and their second moments."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.errors import TrialError

_CHUNK = 1024
"""Rows that are unfolded at a time: bounds memory, whatever the layer."""


def second_moments(
    layer: nn.Module,
    inputs: tuple[Tensor, Tensor],
    output_shape: torch.Size,
    *,
    count: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return ``G = X~^T X`` and ``H = X~^T X~`` over sampled rows.

    A row is what one output position of one image sees: for a convolution the patch under its
    kernel, with the layer's own stride, padding and dilation, columns ordered like the weight.

    Args:
        layer: `nn.Conv2d` or `nn.Linear`.
        inputs: X and X~ as the layer reads them; the same rows are drawn from both.
        output_shape: what the layer gives for one of them.
        count: rows to draw without replacement; all, where there are fewer.
        generator: source of randomness, on the CPU.

    Returns:
        Both float64, (groups, d, d), d = weights of one output channel.

    Raises:
        TrialError: a layer of another kind.
    """
    cross = gram = torch.zeros((), dtype=torch.float64)
    for index in _positions(layer, output_shape, count, generator):
        plain, quantized = (_rows(layer, x, index, output_shape).double() for x in inputs)
        cross = cross + quantized.mT @ plain
        gram = gram + quantized.mT @ quantized
    return cross, gram


def _positions(
    layer: nn.Module, output_shape: torch.Size, count: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield chunks of sorted flat indices over images and output positions."""
    channel = 1 if isinstance(layer, nn.Conv2d) else len(output_shape) - 1
    total = output_shape.numel() // output_shape[channel]
    drawn = torch.randperm(total, generator=generator)[:count]
    yield from drawn.sort().values.split(_CHUNK)


def _rows(layer: nn.Module, x: Tensor, index: Tensor, output_shape: torch.Size) -> Tensor:
    """Return the rows at ``index``, (groups, rows, d)."""
    index = index.to(x.device)
    if isinstance(layer, nn.Linear):
        return x.reshape(1, -1, x.shape[-1])[:, index]
    if not isinstance(layer, nn.Conv2d):
        raise TrialError(
            f"gpfq quantizes 2-d convolutions and linear layers, not {type(layer).__name__}; "
            "use quantize.method rtn"
        )
    height, width = output_shape[-2:]
    image, pixel = index // (height * width), index % (height * width)
    first_row, first_column = pixel // width * layer.stride[0], pixel % width * layer.stride[1]
    rows = first_row[:, None] + _offsets(layer, 0, x.device)
    columns = first_column[:, None] + _offsets(layer, 1, x.device)
    # Indices on both sides of the slice put their axes first: (rows, kh, kw, channels).
    patches = _padded(layer, x)[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    by_weight = patches.permute(0, 3, 1, 2).reshape(len(index), layer.groups, -1)
    return by_weight.transpose(0, 1)


def _offsets(layer: nn.Conv2d, axis: int, device: torch.device) -> Tensor:
    return torch.arange(layer.kernel_size[axis], device=device) * layer.dilation[axis]


def _padded(layer: nn.Conv2d, x: Tensor) -> Tensor:
    border = layer._reversed_padding_repeated_twice  # "same" too
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(x, border, mode=mode) if any(border) else x
