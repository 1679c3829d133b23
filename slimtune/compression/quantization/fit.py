"""Fitting an integer grid to a float weight."""

import numpy as np
from torch import Tensor

from slimtune.compression.quantization.protocol import StoredWeight

SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
"""Floor of a scale: below it float32 is subnormal and ``weight / scale`` loses its digits."""


def fit_max(weight: Tensor, bits: int) -> StoredWeight:
    """Round each output channel to a symmetric uniform grid that reaches its largest weight.

    ``K = 2^(bits-1) - 1``, ``scale = max|w| / K``, ``integer = round(w / scale)`` in [-K, K],
    ties to even, as ONNX `QuantizeLinear` and torch round. The error of a weight is at most
    half a scale. A channel of zeros gets integers 0 and a scale above 0.

    Args:
        weight: float32, (out, ...), finite.
        bits: bits of one integer, 2..8.

    Returns:
        Integers shaped like ``weight`` and one scale a channel.
    """
    values = weight.detach().cpu().numpy().astype(np.float64)
    largest = 2 ** (bits - 1) - 1
    peak = np.abs(values).reshape(len(values), -1).max(axis=1)
    scale = np.maximum(peak / largest, SMALLEST_SCALE).astype(np.float32)
    per_channel = scale.astype(np.float64).reshape(-1, *[1] * (values.ndim - 1))
    integers = np.clip(np.rint(values / per_channel), -largest, largest).astype(np.int8)
    return StoredWeight(integers, scale, bits)
