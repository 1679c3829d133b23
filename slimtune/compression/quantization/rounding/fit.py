"""Fits an integer grid to a float weight."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from torch import Tensor

from slimtune.compression.network.layers import WeightLayer
from slimtune.compression.quantization.protocol import StoredWeight

SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
"""Floor of a scale: below it float32 is subnormal and ``weight / scale`` loses its digits."""


def fit_max(weight: Tensor, bits: int) -> StoredWeight:
    """Round each output channel to a symmetric uniform grid that reaches its largest weight.

    See `fit_scale` and `round_to_grid`. The error of a weight is at most half a scale. A channel
    of zeros gets integers 0 and a scale above 0.

    Args:
        weight: float32, (out, ...), finite.
        bits: bits of one integer, 2..8.

    Returns:
        Integers shaped like ``weight`` and one scale a channel.
    """
    return round_to_grid(weight, fit_scale(weight, bits, "channel"), bits)


def fit_scale(
    weight: Tensor, bits: int, granularity: Literal["channel", "tensor"], factor: float = 1.0
) -> np.ndarray:
    """Return the step ``factor * R / K`` of each output channel's grid, ``K = 2^(bits-1) - 1``.

    ``R`` is ``max|w|`` of the channel. With granularity ``"tensor"`` all channels share the mean
    of these maxima, which clips the largest filters: the rule of Zhang, Zhou, Saab
    (arXiv:2201.11113).

    Args:
        weight: float32, (out, ...), finite.
        bits: bits of one integer, 2..8.
        granularity: whether each channel has a scale of its own.
        factor: how far the grid reaches, in units of R.

    Returns:
        float32, (out,), all above 0.
    """
    values = _values(weight)
    radius = np.abs(values).reshape(len(values), -1).max(axis=1)
    if granularity == "tensor":
        radius = np.full_like(radius, radius.mean())
    scale = factor * radius / largest_integer(bits)
    return np.maximum(scale, SMALLEST_SCALE).astype(np.float32)


def round_layers(
    layers: Iterable[WeightLayer],
    bits: Mapping[str, int],
    granularity: Literal["channel", "tensor"],
    factor: float = 1.0,
) -> dict[str, StoredWeight]:
    """Return each layer's weight on its nearest grid, by the weight's qualified name.

    Args:
        layers: whose weights are rounded, each by itself.
        bits: of each layer, by the weight's name.
        granularity: see `fit_scale`.
        factor: see `fit_scale`.
    """
    stored = {}
    for layer in layers:
        width = bits[layer.weight_name]
        scale = fit_scale(layer.weight, width, granularity, factor)
        stored[layer.weight_name] = round_to_grid(layer.weight, scale, width)
    return stored


def round_to_grid(weight: Tensor, scale: np.ndarray, bits: int) -> StoredWeight:
    """Return ``round(w / scale)`` cut to [-K, K]; ties go to even, as in ONNX and torch.

    Args:
        weight: float32, (out, ...), finite.
        scale: float32, (out,), all above 0.
        bits: bits of one integer, 2..8.
    """
    values, largest = _values(weight), largest_integer(bits)
    per_channel = scale.astype(np.float64).reshape(-1, *[1] * (values.ndim - 1))
    integers = np.clip(np.rint(values / per_channel), -largest, largest).astype(np.int8)
    return StoredWeight(integers, scale, bits)


def largest_integer(bits: int) -> int:
    """Return K = 2^(bits-1) - 1, so that the 2K + 1 integers -K..K fit into ``bits`` bits."""
    return int(2 ** (bits - 1)) - 1


def _values(weight: Tensor) -> np.ndarray:
    values: np.ndarray = weight.detach().cpu().numpy().astype(np.float64)
    return values
