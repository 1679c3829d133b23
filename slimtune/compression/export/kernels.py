"""Float kernels and dynamic integer kernels on weights that the file stores in fewer bits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from slimtune.compression.export.graph import Graph, attributes
from slimtune.compression.export.storage import Numbers, write_numbers
from slimtune.compression.export.weights import is_selection
from slimtune.compression.float_weights import FloatWeights
from slimtune.compression.quantization.protocol import StoredWeight

_FEWEST = 64
"""Smaller constants stay as they are: a node takes some 30 bytes."""


def half_weights(graph: Graph) -> dict[str, np.ndarray]:
    """Return the weights that are float16 numbers exactly, as such.

    Must be called before batch normalisations are folded. Biases stay float32: they are few.
    """
    halves = {}
    for name, value in _float_weights(graph).items():
        with np.errstate(over="ignore"):  # what becomes infinite is not equal below
            half = value.astype(np.float16)
        if np.array_equal(half.astype(np.float32), value):
            halves[name] = half
    return halves


def store_floats(
    graph: Graph,
    stored: Mapping[str, StoredWeight],
    halves: Mapping[str, np.ndarray],
    factors: Mapping[str, np.ndarray],
) -> Graph:
    """Return the graph with every float weight stored in as few bytes as it has information.

    Integers become ``scale * integers`` in float32, halves are multiplied by the factors of
    folded batch normalisations, and what has many zeros is a bitmap, all when a session loads.

    Args:
        graph: the float graph, or one whose integer weights are written already.
        stored: integer weights that float kernels read.
        halves: weights in float16, before folding.
        factors: what `fold_batch_norms` multiplied the weights by.
    """
    numbers, scales = {}, {}
    for name, value in _float_weights(graph).items():
        if name in stored:
            numbers[name] = Numbers(stored[name].integers, stored[name].bits)
            scales[name] = stored[name].scale
        elif name in halves:
            numbers[name] = Numbers(halves[name], 16)
            scales[name] = factors.get(name, np.ones(1)).astype(np.float32)
        else:
            numbers[name] = Numbers(value, 32)
    constants = dict(graph.constants)
    unpacked = {f"{name}:unpacked": one for name, one in numbers.items()}
    nodes = write_numbers(unpacked, constants, np.float32)
    renamed = {name: f"{name}:unpacked" for name in numbers}
    for name, scale in scales.items():
        if np.any(scale != 1):
            constants[f"{name}:scale"] = scale.reshape(-1, *[1] * (graph.constants[name].ndim - 1))
            renamed[name] = f"{name}:scaled"
            inputs = [f"{name}:unpacked", f"{name}:scale"]
            nodes.append(helper.make_node("Mul", inputs, [renamed[name]]))
    return Graph([*nodes, *_renamed(graph, renamed)], constants, graph.opset)


def weights_in_float(
    graph: Graph,
    stored: Mapping[str, StoredWeight],
    halves: Mapping[str, np.ndarray],
    parameters: Mapping[str, int],
) -> FloatWeights:
    """Return the weights that `store_floats` will write as float32.

    Args:
        graph: as for `store_floats`.
        stored: every weight that the file holds as integers, whichever kernel reads it.
        halves: as for `store_floats`.
        parameters: sizes of the network's parameters of two or more axes, by name. Constants that
            an exporter made of a parameter, under another name, count as well.
    """
    smaller = {name: weight.integers.size for name, weight in stored.items()}
    smaller |= {name: half.size for name, half in halves.items()}
    read = {name for node in graph.nodes for name in node.input} & graph.constants.keys()
    in_float: dict[str, int] = {}
    for name in sorted(read - smaller.keys()):
        value = graph.constants[name]
        matrix = value.size >= _FEWEST and sum(length > 1 for length in value.shape) > 1
        parameter = name in parameters and value.size == parameters[name]
        if value.dtype == np.float32 and (parameter or matrix) and not is_selection(value):
            in_float[name] = value.size
    return FloatWeights(in_float, sum(in_float.values()) + sum(smaller.values()))


def insert_dynamic(graph: Graph, stored: Mapping[str, StoredWeight]) -> Graph:
    """Return the graph with integer kernels on activations whose grid is found at run time.

    `DynamicQuantizeLinear` gives uint8 values, a scale and a zero point of the whole batch;
    `ConvInteger` and `MatMulInteger` give int32 sums; ``sums * (input scale * weight scale)``
    plus the bias is what the layer computes. Selections keep their float kernel.
    """
    rewriter = _Dynamic(graph, {n: w for n, w in stored.items() if not is_selection(w.integers)})
    return rewriter.result()


class _Dynamic:
    """One graph on its way to dynamic integer kernels."""

    def __init__(self, graph: Graph, stored: Mapping[str, StoredWeight]) -> None:
        self.graph, self.stored = graph, stored
        self.constants = dict(graph.constants)
        self.nodes: list[NodeProto] = []
        self.quantized: set[str] = set()

    def result(self) -> Graph:
        layers = {n.input[1]: n.op_type for n in self.graph.nodes if self._is_layer(n)}
        numbers = {}
        for name, kind in layers.items():
            integers = self.stored[name].integers
            # MatMulInteger wants (in, out).
            integers = np.ascontiguousarray(integers.T) if kind == "Gemm" else integers
            numbers[f"{name}:integers"] = Numbers(integers, self.stored[name].bits)
        self.nodes = write_numbers(numbers, self.constants, np.int8)
        for node in self.graph.nodes:
            if self._is_layer(node):
                self._rewrite(node)
            else:
                self.nodes.append(node)
        return Graph(self.nodes, self.constants, self.graph.opset)

    def _is_layer(self, node: NodeProto) -> bool:
        return node.op_type in ("Conv", "Gemm") and node.input[1] in self.stored

    def _rewrite(self, node: NodeProto) -> None:
        value, weight, output = node.input[0], node.input[1], node.output[0]
        integers, scale, zero = (f"{value}:{part}" for part in ("uint8", "scale", "zero"))
        if value not in self.quantized:
            self.quantized.add(value)
            self._add("DynamicQuantizeLinear", [value], integers, scale, zero)
        inputs = [integers, f"{weight}:integers", zero]
        if node.op_type == "Conv":
            self._add("ConvInteger", inputs, f"{output}:sums", **attributes(node))
        else:
            self._add("MatMulInteger", inputs, f"{output}:sums")
        self._add("Cast", [f"{output}:sums"], f"{output}:float", to=TensorProto.FLOAT)
        # Behind a convolution, channels are the second axis of (n, channels, height, width).
        shape = (-1, *[1] * (self.stored[weight].integers.ndim - 2))
        self.constants[f"{weight}:scale"] = self.stored[weight].scale.reshape(shape)
        self._add("Mul", [scale, f"{weight}:scale"], f"{output}:step")
        bias = node.input[2] if len(node.input) > 2 else ""
        product = f"{output}:product" if bias else output
        self._add("Mul", [f"{output}:float", f"{output}:step"], product)
        if bias:
            self.constants[f"{bias}:shaped"] = self.graph.constants[bias].reshape(shape)
            self._add("Add", [product, f"{bias}:shaped"], output)

    def _add(self, kind: str, inputs: list[str], *outputs: str, **values: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, list(outputs), **values))


def _float_weights(graph: Graph) -> dict[str, np.ndarray]:
    """Return the constants that are weights: float32, of two or more axes, read by a node."""
    read = dict.fromkeys(name for node in graph.nodes for name in node.input)
    constants = {name: graph.constants[name] for name in read if name in graph.constants}
    return {
        name: value
        for name, value in constants.items()
        if value.dtype == np.float32 and value.ndim > 1 and value.size >= _FEWEST
    }


def _renamed(graph: Graph, names: Mapping[str, str]) -> list[NodeProto]:
    nodes = []
    for node in graph.nodes:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [names.get(name, name) for name in node.input]
        nodes.append(copy)
    return nodes
