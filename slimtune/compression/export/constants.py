"""Replaces operators on constants by their results.

The exporter by torch.export writes the missing bias of a convolution, or the scale of a batch
normalisation without parameters, as three to five operators on constants. Layers are recognised
by their constants, so these must be numbers before anything else is done to the graph.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from slimtune.compression.export.graph import Graph, attributes

MOST_NUMBERS = 4096
"""A result of more numbers stays an operator, which takes fewer bytes."""


def fold_constants(graph: Graph, model: onnx.ModelProto) -> None:
    """Replace operators on constants by what they give, in place.

    What is made from a weight (a constant of two or more axes) stays an operator, so that the
    weight is found under its name; its shape is known all the same.

    Args:
        graph: as `open_graph` gives it.
        model: what it was opened from: knows the types of values.
    """
    weights = {t.name for t in model.graph.initializer if len(t.dims) > 1}
    if any(node.op_type in ("Shape", "CastLike") for node in graph.nodes):
        _replace_shapes(graph, model, weights)
    nodes = _foldable(graph, weights)
    values = _evaluated(nodes, graph)
    small = {name: value for name, value in values.items() if value.size <= MOST_NUMBERS}
    graph.constants |= small
    graph.nodes = [node for node in graph.nodes if not set(node.output) <= small.keys()]


def _replace_shapes(graph: Graph, model: onnx.ModelProto, weights: Collection[str]) -> None:
    """Replace ``Shape`` and ``CastLike`` operators whose result follows from inferred types.

    A cast of a constant to the type of a computed value becomes a plain cast.
    """
    inferred = onnx.shape_inference.infer_shapes(model).graph
    kinds = {v.name: v.type.tensor_type for v in [*inferred.value_info, *inferred.input]}
    nodes = []
    for node in graph.nodes:
        kind = kinds.get(node.input[-1]) if node.input else None
        if node.op_type == "Shape" and (shape := _shape(node, graph, kind, weights)) is not None:
            graph.constants[node.output[0]] = shape
            continue
        if node.op_type == "CastLike" and node.input[0] in graph.constants and kind is not None:
            values = {"to": kind.elem_type}
            node = helper.make_node("Cast", [node.input[0]], list(node.output), **values)
        nodes.append(node)
    graph.nodes = nodes


def _shape(
    node: NodeProto, graph: Graph, kind: onnx.TypeProto.Tensor | None, weights: Collection[str]
) -> np.ndarray | None:
    """Return what a ``Shape`` gives if no part of it is the number of images."""
    dims: list[int] = []
    if node.input[0] in weights:
        dims = list(graph.constants[node.input[0]].shape)
    elif kind is not None and kind.HasField("shape"):
        dims = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
    cut = attributes(node)
    part = dims[cut.get("start", 0) : cut.get("end")]
    return np.asarray(part, np.int64) if part and -1 not in part else None


def _foldable(graph: Graph, weights: Collection[str]) -> list[NodeProto]:
    """Return the operators on constants that are no weights, in order."""
    constants = graph.constants.keys() - set(weights)
    operators = []
    for node in graph.nodes:
        plain = node.domain in ("", "ai.onnx") and not node.op_type.startswith("Random")
        bare = not any(a.HasField("g") or a.graphs for a in node.attribute)
        if plain and bare and node.input and all(n in constants for n in node.input if n):
            constants |= set(node.output)
            operators.append(node)
    return operators


def _evaluated(nodes: list[NodeProto], graph: Graph) -> dict[str, np.ndarray]:
    """Return the results of operators on constants; nothing where they cannot be carried out."""
    names = [name for node in nodes for name in node.output if name]
    read = {name for node in nodes for name in node.input if name}
    if not names:
        return {}
    kinds = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in names]
    constants = [
        numpy_helper.from_array(np.asarray(graph.constants[name]), name)
        for name in read & graph.constants.keys()
    ]
    body = helper.make_graph(nodes, "constants", [], kinds, constants)
    opsets = [helper.make_opsetid("", graph.opset)]
    try:
        values = ReferenceEvaluator(helper.make_model(body, opset_imports=opsets)).run(None, {})
    except Exception:  # it raises whatever its operators raise; they run later as well
        return {}
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
