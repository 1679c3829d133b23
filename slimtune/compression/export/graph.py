"""A network between torch and the file: nodes in order, constants by name, and exact rewrites."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from slimtune.compression.export.trace import LOGITS, NETWORK_INPUT

IMAGES = "images"
_IR_VERSION = 10
_DEFAULTS: Mapping[tuple[str, str], tuple[object, ...]] = {
    ("Conv", "dilations"): ([1, 1],),
    ("Conv", "group"): (1,),
    ("Conv", "pads"): ([0, 0, 0, 0],),
    ("Conv", "strides"): ([1, 1],),
    ("Gemm", "alpha"): (1.0,),
    ("Gemm", "beta"): (1.0,),
}


@dataclass
class Graph:
    """A network that is being rewritten.

    Attributes:
        nodes: in topological order.
        constants: parameters under their qualified names, and other constants.
        opset: version of the standard operators.
    """

    nodes: list[NodeProto]
    constants: dict[str, np.ndarray]
    opset: int

    def readers(self) -> dict[str, list[NodeProto]]:
        """Return, for every value, the nodes that read it."""
        readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        return readers

    def writers(self) -> dict[str, NodeProto]:
        """Return, for every computed value, the node that computes it."""
        return {name: node for node in self.nodes for name in node.output}


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of ``node`` as Python values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def open_graph(model: onnx.ModelProto) -> Graph:
    """Return the graph of ``model`` with every constant in one place.

    The exporters store equal parameters once and refer to them by `Identity`; here each gets
    its own name and value back.
    """
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    renamed: dict[str, str] = {}
    nodes = []
    for node in model.graph.node:
        inputs = [renamed.get(name, name) for name in node.input]
        if node.op_type == "Constant":
            constants[node.output[0]] = _value_of(node)
        elif node.op_type == "Identity" and inputs[0] in constants:
            constants[node.output[0]] = constants[inputs[0]]
        elif node.op_type == "Identity" and node.output[0] != LOGITS:
            renamed[node.output[0]] = inputs[0]
        else:
            kept = NodeProto()
            kept.CopyFrom(node)  # the caller's model stays as it is
            while inputs and not inputs[-1]:  # an input that is left out, as the bias of some
                inputs.pop()
            kept.input[:] = inputs
            nodes.append(kept)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return Graph(nodes, constants, opset)


def fold_batch_norms(graph: Graph) -> dict[str, np.ndarray]:
    """Fold every batch normalisation that follows a convolution into it, in place.

    ``factor = gamma / sqrt(variance + epsilon)``, ``weight *= factor`` per output channel and
    ``bias = beta + (bias - mean) * factor``, in float64. A normalisation stays where other
    nodes read the convolution too, or where two convolutions share one weight.

    Returns:
        The factor, float64 (out,), may be negative, of each weight that was changed.
    """
    writers, readers = graph.writers(), graph.readers()
    factors: dict[str, np.ndarray] = {}
    for norm in [node for node in graph.nodes if node.op_type == "BatchNormalization"]:
        conv = writers.get(norm.input[0])
        if conv is None or conv.op_type != "Conv" or conv.input[1] not in graph.constants:
            continue
        # Another reader wants the value before the norm, or the weight without the factor.
        if len(readers[norm.input[0]]) > 1 or len(readers[conv.input[1]]) > 1:
            continue
        if not all(name in graph.constants for name in (*norm.input[1:], *conv.input[2:])):
            continue
        factors[conv.input[1]] = _fold_one(graph, conv, norm)
        graph.nodes.remove(norm)
    return factors


def _fold_one(graph: Graph, conv: NodeProto, norm: NodeProto) -> np.ndarray:
    gamma, beta, mean, variance = (graph.constants[n].astype(np.float64) for n in norm.input[1:])
    factor = gamma / np.sqrt(variance + attributes(norm).get("epsilon", 1e-5))
    weight = graph.constants[conv.input[1]]
    shape = (-1, *[1] * (weight.ndim - 1))
    graph.constants[conv.input[1]] = (weight * factor.reshape(shape)).astype(np.float32)
    bias = graph.constants[conv.input[2]] if len(conv.input) > 2 else 0.0
    name = f"{conv.input[1]}:folded_bias"
    graph.constants[name] = (beta + (bias - mean) * factor).astype(np.float32)
    conv.input[:] = [*conv.input[:2], name]
    conv.output[0] = norm.output[0]
    return factor


def prepend_normalisation(graph: Graph, mean: Sequence[float], std: Sequence[float]) -> None:
    """Put ``(pixel / 255 - mean) / std`` in front, in place; the input is then uint8."""
    slope = 1 / (255 * np.asarray(std, np.float64))
    offset = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    for name, value in (("pixel:slope", slope), ("pixel:offset", offset)):
        graph.constants[name] = value.astype(np.float32).reshape(1, -1, 1, 1)
    graph.nodes[:0] = [
        helper.make_node("Cast", [IMAGES], ["pixel"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixel", "pixel:slope"], ["pixel:scaled"]),
        helper.make_node("Add", ["pixel:scaled", "pixel:offset"], [NETWORK_INPUT]),
    ]


def to_model(
    graph: Graph,
    image_shape: tuple[int, int, int],
    classes: int,
    outputs: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return ``graph`` as a model: uint8 ``images`` (n, c, h, w) in, ``logits`` (n, classes) out.

    Args:
        graph: what to write; constants that no node reads are left out.
        image_shape: (channels, height, width).
        classes: how many logits.
        outputs: float values to give out as well.
    """
    order = list(dict.fromkeys(name for node in graph.nodes for name in node.input))
    used = [name for name in order if name in graph.constants]
    extra = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in outputs
        if name != LOGITS
    ]
    body = helper.make_graph(
        graph.nodes,
        "slimtune",
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["n", *image_shape])],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["n", classes]), *extra],
        [numpy_helper.from_array(np.asarray(graph.constants[n]), n) for n in used],
    )
    opsets = [helper.make_opsetid("", graph.opset)]
    return helper.make_model(
        body, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="slimtune"
    )


def float_values(graph: Graph, image_shape: tuple[int, int, int], classes: int) -> set[str]:
    """Return the computed values that are float32, the logits included; shapes are not."""
    inferred = onnx.shape_inference.infer_shapes(to_model(graph, image_shape, classes)).graph
    values = [*inferred.value_info, *inferred.output]
    return {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}


def shorten(graph: Graph) -> Graph:
    """Return the same graph in as few bytes: names of one to three letters, no default attribute.

    Graph text is part of the file: exporters' names and doc strings take 70 kB of a ResNet-20.
    """
    names = Counter(name for node in graph.nodes for name in (*node.input, *node.output) if name)
    short = {IMAGES: IMAGES, LOGITS: LOGITS}
    # The most frequent names get the shortest: Python's sort is stable, so files repeat.
    frequent = sorted((n for n in names if n not in short), key=lambda n: -names[n])
    short |= {name: _letters(index) for index, name in enumerate(frequent)}
    nodes = [_bare(node, short) for node in graph.nodes]
    constants = {short[n]: value for n, value in graph.constants.items() if n in short}
    return Graph(nodes, constants, graph.opset)


def _bare(node: NodeProto, short: Mapping[str, str]) -> NodeProto:
    bare = NodeProto(op_type=node.op_type, domain=node.domain)
    bare.input[:] = [short.get(name, "") for name in node.input]
    bare.output[:] = [short.get(name, "") for name in node.output]
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if value not in _DEFAULTS.get((node.op_type, attribute.name), ()):
            kept = bare.attribute.add()
            kept.CopyFrom(attribute)
            kept.doc_string = ""
    return bare


def _letters(index: int) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = alphabet[index % 52]
    while index >= 52:  # as columns of a spreadsheet: a to Z, then aa
        index = index // 52 - 1
        text = alphabet[index % 52] + text
    return text


def _value_of(constant: NodeProto) -> np.ndarray:
    attribute = constant.attribute[0]
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    is_float = attribute.name in ("value_float", "value_floats")
    return np.asarray(value, np.float32 if is_float else np.int64)
