"""Quantization at the level of the graph: integer weights, and activations on uint8 grids.

Everything is written with `QuantizeLinear` and `DequantizeLinear` (QDQ form, standard
operators). A runtime that knows the form replaces each operator between a DequantizeLinear and
a QuantizeLinear by its integer kernel; one that does not computes the same in float.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from onnx import NodeProto, helper

from slimtune.compression.export.graph import Graph, attributes
from slimtune.compression.export.trace import LOGITS
from slimtune.compression.quantization.fit import SMALLEST_SCALE
from slimtune.compression.quantization.protocol import Quantizer, StoredWeight
from slimtune.errors import TrialError

_POOLS_AND_JOINS = ("Add", "Concat", "AveragePool", "GlobalAveragePool", "MaxPool")
_MOVERS = ("MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze")
"""Operators whose output holds only values of their input: both sides share one grid."""


@dataclass(frozen=True)
class Grid:
    """The uint8 grid of one activation: ``value = scale * (integer - zero_point)``.

    Attributes:
        scale: above 0.
        zero_point: 0..255, the integer that stands for 0.
    """

    scale: float
    zero_point: int


def quantize_weights(graph: Graph, quantizer: Quantizer) -> dict[str, StoredWeight]:
    """Return the integers of every weight of a convolution or linear layer, by its name.

    Must be called before batch normalisations are folded: quantizers see the weights that were
    trained. A selection weight (1x1, 0 or 1, frozen) is its own int8 form with scale 1.

    Raises:
        TrialError: the quantizer stores weights or activations in a width that the file
            format does not hold yet.
    """
    stored = {}
    for node in graph.nodes:
        name = node.input[1] if node.op_type in ("Conv", "Gemm") else ""
        if name not in graph.constants or name in stored or not _can_be_stored(node):
            continue
        weight = graph.constants[name]
        form = quantizer.weight(name, torch.from_numpy(np.array(weight)))
        if form is None:
            continue
        if form.bits != 8 or quantizer.activation_bits != 8 or form.integers.min() < -127:
            raise TrialError(
                f"a file holds int8 weights in [-127, 127] with 8-bit activations, but {name} has "
                f"{form.bits} bits, a minimum of {form.integers.min()} and "
                f"{quantizer.activation_bits}-bit activations; use int8_static or none"
            )
        stored[name] = _selection(weight) if _is_selection(weight) else form
    return stored


def fold_into_scales(
    stored: Mapping[str, StoredWeight], factors: Mapping[str, np.ndarray]
) -> dict[str, StoredWeight]:
    """Return ``stored`` times the per-channel ``factors``: only scales and signs change.

    A negative factor flips the signs of its channel, so that every scale stays above 0.
    """
    folded = dict(stored)
    for name in stored.keys() & factors.keys():
        weight, factor = stored[name], factors[name]
        signs = np.where(factor < 0, -1, 1).astype(np.int8)
        shape = (-1, *[1] * (weight.integers.ndim - 1))
        scale = np.maximum(weight.scale * np.abs(factor), SMALLEST_SCALE).astype(np.float32)
        # A factor of exactly 0 leaves a channel of zeros, not of the smallest numbers.
        alive = (factor != 0).astype(np.int8)
        integers = weight.integers * (signs * alive).reshape(shape)
        folded[name] = StoredWeight(integers, scale, weight.bits)
    return folded


def dequantized(stored: StoredWeight) -> np.ndarray:
    """Return ``scale * integers`` in float32."""
    shape = (-1, *[1] * (stored.integers.ndim - 1))
    return stored.scale.reshape(shape) * stored.integers.astype(np.float32)


def activations(
    graph: Graph, stored: Mapping[str, StoredWeight], floats: Collection[str]
) -> list[str]:
    """Return the values that need a grid, in graph order, so that `observe` can watch them.

    They are what integer kernels read and write. Between a layer and its ReLU nothing is
    rounded: the ReLU's output gets the grid. The logits stay float.

    Args:
        graph: the float graph.
        stored: the integer weights.
        floats: the values that are float32; sizes of images are joined and reshaped as well.
    """
    readers = graph.readers()
    wanted: dict[str, None] = {}
    for node in graph.nodes:
        if node.output[0] not in floats or not _runs_on_integers(node, graph, stored):
            continue
        wanted |= dict.fromkeys(_values_read(node))
        output = node.output[0]
        after = readers.get(output, [])
        if len(after) == 1 and _is_relu(after[0], graph):
            output = after[0].output[0]
        wanted[output] = None
    wanted.pop(LOGITS, None)
    return list(wanted)


def fit_grids(
    graph: Graph, stored: Mapping[str, StoredWeight], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Grid]:
    """Return one grid a value: its range widened to contain 0, cut into 255 steps.

    Where an operator only moves values its output takes the grid of its input, so that
    integers pass through unchanged.

    Args:
        graph: the float graph.
        stored: the integer weights.
        ranges: smallest and largest value seen of each of `activations`.
    """
    grids = {name: _grid(*ranges[name]) for name in ranges}
    for node in graph.nodes:
        if node.output[0] in grids and _moves_values(node, stored) and node.input[0] in grids:
            grids[node.output[0]] = grids[node.input[0]]
    return grids


def fit_bias_range(
    graph: Graph, stored: Mapping[str, StoredWeight], grids: Mapping[str, Grid]
) -> dict[str, StoredWeight]:
    """Return ``stored`` with scales raised where a bias would not fit int32.

    Kernels hold the bias as int32 at ``input scale * weight scale``. A nearly dead channel has
    a weight scale of 1e-7 or less and overflows it. Its integers are rounded again at the raised
    scale: what they lose is far below one step of the output.
    """
    fitted = dict(stored)
    for node in graph.nodes:
        if node.op_type not in ("Conv", "Gemm") or node.input[1] not in stored:
            continue
        weight, step = fitted[node.input[1]], grids[node.input[0]].scale
        bias = graph.constants[node.input[2]] if len(node.input) > 2 else np.zeros(1, np.float32)
        least = np.maximum(np.abs(bias.astype(np.float64)) / 2**30, SMALLEST_SCALE) / step
        scale = np.maximum(weight.scale, least).astype(np.float32)
        shrink = (weight.scale / scale.astype(np.float64)).reshape(
            -1, *[1] * (weight.integers.ndim - 1)
        )
        integers = np.rint(weight.integers * shrink).astype(np.int8)
        fitted[node.input[1]] = StoredWeight(integers, scale, weight.bits)
    return fitted


def insert_qdq(
    graph: Graph, stored: Mapping[str, StoredWeight], grids: Mapping[str, Grid]
) -> Graph:
    """Return the graph in QDQ form.

    A ReLU whose output has a grid is dropped: the grid starts at 0 and saturates there. The
    biases of convolutions stay float, which takes half the bytes of int32 with its scales;
    runtimes round them when they load the file. The bias of a linear layer is int32, because
    ONNX Runtime 1.31 has no integer kernel for it otherwise.
    """
    constants = dict(graph.constants)
    relus = [n for n in graph.nodes if _is_relu(n, graph) and n.output[0] in grids]
    before = {node.output[0]: node.input[0] for node in relus}
    nodes = [_weight_node(name, stored[name], constants) for name in stored]
    for node in graph.nodes:
        if node.output[0] not in before:
            copy = NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [_dequantized_name(n, stored, grids) for n in node.input]
            if node.op_type == "Gemm" and node.input[1] in stored and len(node.input) > 2:
                nodes.append(_bias_node(node, stored, grids, constants))
                copy.input[2] = nodes[-1].output[0]
            nodes.append(copy)
        for name in node.output:
            if name in grids:
                source = _dequantized_name(before[name], stored, grids) if name in before else name
                nodes += _activation_nodes(name, source, grids[name], constants)
    return Graph(nodes, constants, graph.opset)


def _weight_node(name: str, stored: StoredWeight, constants: dict[str, np.ndarray]) -> NodeProto:
    constants[f"{name}:integers"] = stored.integers
    inputs, output = [f"{name}:integers", f"{name}:scale"], f"{name}:dequantized"
    if stored.integers.ndim == 2:
        # ONNX Runtime 1.31 fuses a Gemm only when its weight names a zero point.
        constants[f"{name}:zero"] = np.zeros(len(stored.scale), np.int8)
        constants[f"{name}:scale"] = stored.scale
        inputs.append(f"{name}:zero")
        return helper.make_node("DequantizeLinear", inputs, [output], axis=0)
    if np.all(stored.scale == stored.scale[0]):
        constants[f"{name}:scale"] = stored.scale[0]
        return helper.make_node("DequantizeLinear", inputs, [output])
    constants[f"{name}:scale"] = stored.scale
    return helper.make_node("DequantizeLinear", inputs, [output], axis=0)


def _bias_node(
    gemm: NodeProto,
    stored: Mapping[str, StoredWeight],
    grids: Mapping[str, Grid],
    constants: dict[str, np.ndarray],
) -> NodeProto:
    name = gemm.input[2]
    scale = (grids[gemm.input[0]].scale * stored[gemm.input[1]].scale).astype(np.float32)
    constants[f"{name}:scale"] = scale
    constants[f"{name}:integers"] = np.rint(constants[name] / scale).astype(np.int32)
    inputs = [f"{name}:integers", f"{name}:scale"]
    return helper.make_node("DequantizeLinear", inputs, [f"{name}:dequantized"], axis=0)


def _activation_nodes(
    name: str, source: str, grid: Grid, constants: dict[str, np.ndarray]
) -> list[NodeProto]:
    """Return `QuantizeLinear` from ``source`` and `DequantizeLinear` to readers of ``name``."""
    scale, zero = f"scale:{grid.scale!r}", f"zero:{grid.zero_point}"
    constants[scale] = np.asarray(grid.scale, np.float32)
    constants[zero] = np.asarray(grid.zero_point, np.uint8)
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{name}:quantized"]),
        helper.make_node(
            "DequantizeLinear", [f"{name}:quantized", scale, zero], [f"{name}:dequantized"]
        ),
    ]


def _dequantized_name(
    name: str, stored: Mapping[str, StoredWeight], grids: Mapping[str, Grid]
) -> str:
    return f"{name}:dequantized" if name in stored or name in grids else name


def _grid(low: float, high: float) -> Grid:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255))
    if scale < SMALLEST_SCALE:  # nothing but zeros was seen
        return Grid(1.0, 0)
    return Grid(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


def _runs_on_integers(node: NodeProto, graph: Graph, stored: Mapping[str, StoredWeight]) -> bool:
    if node.op_type in ("Conv", "Gemm"):
        return node.input[1] in stored and node.input[0] not in graph.constants
    return node.op_type in _POOLS_AND_JOINS and not graph.constants.keys() & set(node.input)


def _values_read(node: NodeProto) -> list[str]:
    return list(node.input[:1] if node.op_type in ("Conv", "Gemm") else node.input)


def _is_relu(node: NodeProto, graph: Graph) -> bool:
    """Whether ``node`` cuts at 0 from below; a cut from above lies at or beyond the range seen."""
    if node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in graph.constants:
        return float(graph.constants[node.input[1]]) == 0.0
    return node.op_type == "Relu"


def _moves_values(node: NodeProto, stored: Mapping[str, StoredWeight]) -> bool:
    if node.op_type == "Conv" and len(node.input) == 2 and node.input[1] in stored:
        weight = stored[node.input[1]]
        return bool(np.all(weight.scale == 1.0)) and _is_selection(weight.integers)
    return node.op_type in _MOVERS


def _can_be_stored(node: NodeProto) -> bool:
    """Whether output channels are the first axis of the weight, as integer kernels want it."""
    values = attributes(node)
    plain = values.get("alpha", 1.0) == 1.0 and values.get("beta", 1.0) == 1.0
    return node.op_type == "Conv" or (values.get("transB", 0) == 1 and plain)


def _is_selection(weight: np.ndarray) -> bool:
    """Whether ``weight`` is a 1x1 convolution that passes on single input channels or nothing."""
    if weight.ndim != 4 or weight.shape[2:] != (1, 1) or not np.isin(weight, (0, 1)).all():
        return False
    return bool((weight.sum(axis=(1, 2, 3)) <= 1).all())


def _selection(weight: np.ndarray) -> StoredWeight:
    return StoredWeight(weight.astype(np.int8), np.ones(len(weight), np.float32), 8)
