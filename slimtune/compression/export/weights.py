"""The integer weights of a graph: which layers use them, and how folding changes their scales."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from onnx import NodeProto

from slimtune.compression.export.graph import Graph, attributes
from slimtune.compression.quantization.protocol import StoredWeight
from slimtune.compression.quantization.rounding.fit import SMALLEST_SCALE
from slimtune.errors import TrialError


def kernel_weights(graph: Graph, stored: Mapping[str, StoredWeight]) -> dict[str, StoredWeight]:
    """Return the stored weights that integer kernels read, and the selections.

    These are the weights of convolutions and of linear layers with a bias on (n, features). Must
    be called before batch normalisations are folded. A selection weight (1x1, 0 or 1, frozen) is
    its own integer form with scale 1.

    Raises:
        TrialError: integers that do not fit their bits.
    """
    weights = {}
    fewest = min((weight.bits for weight in stored.values()), default=8)
    for node in graph.nodes:
        name = node.input[1] if node.op_type in ("Conv", "Gemm") else ""
        if name not in graph.constants or name in weights or not _can_be_stored(node):
            continue
        if not all(bias in graph.constants for bias in node.input[2:]):
            continue
        if name in stored:
            _check_fits(name, stored[name])
            weights[name] = stored[name]
        elif stored and is_selection(graph.constants[name]):
            weight = graph.constants[name].astype(np.int8)
            weights[name] = StoredWeight(weight, np.ones(len(weight), np.float32), fewest)
    return weights


def other_weights(graph: Graph, stored: Mapping[str, StoredWeight]) -> dict[str, StoredWeight]:
    """Return the stored weights that the file can hold as integers, whatever kernel reads them.

    With `kernel_weights` taken away, what is left are the weights of linear layers on maps or
    tokens, and of those without a bias: integers in the file, and float numbers to their kernels.

    Raises:
        TrialError: integers that do not fit their bits.
    """
    read = {name for node in graph.nodes for name in node.input}
    weights = {}
    for name, weight in stored.items():
        constant = graph.constants.get(name)
        if name in read and constant is not None and constant.shape == weight.integers.shape:
            _check_fits(name, weight)
            weights[name] = weight
    return weights


def fold_into_scales(
    stored: Mapping[str, StoredWeight], factors: Mapping[str, np.ndarray]
) -> dict[str, StoredWeight]:
    """Return ``stored`` times the per-channel ``factors``: only scales and signs change.

    A negative factor flips the signs of its channel, so that every scale stays above 0. Where
    the flipped integers would not fit their bits, as with -2..1 in 2 bits, the integers stay
    and the scale of the channel is negative.
    """
    folded = dict(stored)
    for name in stored.keys() & factors.keys():
        weight, factor = stored[name], factors[name]
        scale = np.maximum(weight.scale * np.abs(factor), SMALLEST_SCALE).astype(np.float32)
        # A factor of exactly 0 leaves a channel of zeros, not of the smallest numbers.
        alive = weight.integers * per_channel(factor != 0, weight)
        alive = nearest(alphabet(weight), alive)
        signs = np.where(factor < 0, -1, 1).astype(np.int8)
        flipped = StoredWeight(alive * per_channel(signs, weight), scale, weight.bits)
        fits = len(distinct(flipped)) <= 2**weight.bits
        folded[name] = flipped if fits else StoredWeight(alive, scale * signs, weight.bits)
    return folded


def fit_bias_range(
    graph: Graph, stored: Mapping[str, StoredWeight], steps: Mapping[str, float]
) -> dict[str, StoredWeight]:
    """Return ``stored`` with scales raised where a bias would not fit int32.

    Kernels hold the bias as int32 at ``input scale * weight scale``. A nearly dead channel has
    a weight scale of 1e-7 or less and overflows it. Its integers are rounded again at the raised
    scale, to the nearest that the file can hold: what they lose is far below one step of the
    output.

    Args:
        graph: the float graph.
        stored: the integer weights.
        steps: scale of the grid of each layer's input, by the name of its weight.
    """
    fitted = dict(stored)
    for node in graph.nodes:
        if node.op_type not in ("Conv", "Gemm") or node.input[1] not in stored:
            continue
        weight, step = fitted[node.input[1]], steps[node.input[1]]
        bias = graph.constants[node.input[2]] if len(node.input) > 2 else np.zeros(1, np.float32)
        least = np.maximum(np.abs(bias.astype(np.float64)) / 2**30, SMALLEST_SCALE) / step
        small = np.abs(weight.scale) < least
        if not small.any():
            continue
        scale = np.where(small, np.copysign(least, weight.scale), weight.scale)
        shrink = per_channel(weight.scale / scale.astype(np.float64), weight)
        integers = nearest(alphabet(weight), weight.integers * shrink)
        fitted[node.input[1]] = replace(weight, integers=integers, scale=scale.astype(np.float32))
    return fitted


def alphabet(weight: StoredWeight) -> np.ndarray:
    """Return, in ascending order, the integers that ``weight`` may hold: int8, at most 2^bits.

    All n-bit integers where they are enough, otherwise the codebook, with 0 if there is room.
    """
    values = distinct(weight)
    low, high = -(2 ** (weight.bits - 1)), 2 ** (weight.bits - 1) - 1
    if low <= values[0] and values[-1] <= high:
        return np.arange(low, high + 1, dtype=np.int8)
    with_zero = np.union1d(values, np.zeros(1, np.int8))
    return with_zero if len(with_zero) <= 2**weight.bits else values


def nearest(choices: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the nearest of the ascending int8 ``choices`` to each value; ties go to the lower."""
    middles = (choices[1:].astype(np.float64) + choices[:-1]) / 2
    return choices[np.searchsorted(middles, values)]


def distinct(weight: StoredWeight) -> np.ndarray:
    """Return the distinct integers in ascending order, int8."""
    return np.unique(weight.integers)


def per_channel(values: np.ndarray, weight: StoredWeight) -> np.ndarray:
    """Return one value a channel shaped to multiply the integers, (out, 1, ...)."""
    return values.reshape(-1, *[1] * (weight.integers.ndim - 1))


def is_selection(weight: np.ndarray) -> bool:
    """Whether ``weight`` is a 1x1 convolution that passes on single input channels or nothing."""
    if weight.ndim != 4 or weight.shape[2:] != (1, 1) or not np.isin(weight, (0, 1)).all():
        return False
    return bool((weight.sum(axis=(1, 2, 3)) <= 1).all())


def _can_be_stored(node: NodeProto) -> bool:
    """Whether output channels are the first axis of the weight, as integer kernels want it."""
    values = attributes(node)
    plain = values.get("alpha", 1.0) == 1.0 and values.get("beta", 1.0) == 1.0
    return node.op_type == "Conv" or (values.get("transB", 0) == 1 and plain)


def _check_fits(name: str, weight: StoredWeight) -> None:
    values = distinct(weight)
    if values[0] < -127:
        raise TrialError(
            f"stored integers must lie in -127..127, but {name} has {values[0]}; "
            "clip them in the quantizer"
        )
    if len(values) > 2**weight.bits:
        raise TrialError(
            f"a weight in {weight.bits} bits must have at most {2**weight.bits} distinct "
            f"integers, but {name} has {len(values)}; store it in more bits"
        )
