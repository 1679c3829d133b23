"""Counts the layers, weights and bits of any ONNX file.

Works on float files, on quantized files of other tools (QDQ form, integer operators) and on ours:
if operators compute a weight from constants, they are evaluated.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, OperatorSetIdProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from slimtune.compression.export.weights import is_selection
from slimtune.errors import ModelError, shortened

_WEIGHT = {
    "Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3, "Gemm": 1, "QGemm": 3,
    "MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3,
}  # fmt: skip
"""Operators that are layers, and which input is the weight."""

_BIAS = {"Conv": 2, "FusedConv": 2, "QLinearConv": 8, "Gemm": 2, "QGemm": 6}
_ZERO_POINT = {"ConvInteger": 3, "QLinearConv": 5, "QGemm": 5, "MatMulInteger": 3}
_ZERO_POINT |= {"QLinearMatMul": 5}
_MOVERS = ("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "MaxPool", "Identity")
_NARROW: dict[int, int] = {
    TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.INT2: 2, TensorProto.UINT2: 2,
    TensorProto.BOOL: 1,
}  # fmt: skip


@dataclass(frozen=True)
class FileLayer:
    """One convolution or linear layer of a file.

    Attributes:
        name: of the node, or of its weight where nodes have no names.
        kind: the operator, such as ``"Conv"`` or ``"QLinearConv"``.
        shape: of the weight.
        nonzero: weights that are not 0.
        bits: what a weight takes in the file, where a bitmap is not counted.
        input_bits: of the layer's input: 8 where it is quantized to 8 bits, else 32.
        macs: multiply-accumulates of one image; None where the file does not tell sizes.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    nonzero: int
    bits: int
    input_bits: int
    macs: int | None

    @property
    def weights(self) -> int:
        """How many weights there are."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class FileContent:
    """What a file holds and costs, counted as `measurement.cost.count_cost` counts a network.

    Attributes:
        params: weights and biases, and scale and shift of batch normalisations.
        nonzero: how many of them are not 0.
        sparsity: fraction of the layers' weights that are 0, 0..1.
        macs: multiply-accumulates of one image; None where the file does not tell sizes.
        bops: sum over layers of MACs * weight bits * input bits; None as ``macs``.
        weight_bytes: what the layers' weights take in the file, scales and codebooks included.
        packed_bytes: weights in their bits, dense or as a bitmap, plus 4 bytes for every other
            learned number and every scale.
        layers: in graph order; frozen 0/1 selections are left out.
    """

    params: int
    nonzero: int
    sparsity: float
    macs: int | None
    bops: int | None
    weight_bytes: int
    packed_bytes: int
    layers: tuple[FileLayer, ...]


_EVALUATED_OPSET = 19
"""The reference evaluator has no DequantizeLinear before it; its meaning is the same since 13."""


def inspect_file(file: Path | bytes) -> FileContent:
    """Count what an ONNX file holds.

    Raises:
        ModelError: it is no ONNX file, or its constants cannot be evaluated.
    """
    name = "a file in memory" if isinstance(file, bytes) else str(file)
    try:
        model = onnx.load_from_string(file) if isinstance(file, bytes) else onnx.load(file)
    except Exception as error:  # protobuf's own classes, and those of the file system
        reason = shortened(str(error).strip().split("\n")[0], 120)
        raise ModelError(f"{name}: must be an ONNX file, but cannot be read: {reason}") from error
    try:
        return _Inspection(model).result()
    except Exception as error:  # the reference evaluator raises whatever its operators raise
        reason = shortened(str(error).strip().split("\n")[0], 120)
        raise ModelError(f"{name}: its weights cannot be evaluated: {reason}") from error


class _Inspection:
    """The nodes, constants and inferred types of one file."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.nodes = model, list(model.graph.node)
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.stored[node.output[0]] = node.attribute[0].t
        self.writers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        self.constant = set(self.stored)
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
            if all(name in self.constant for name in node.input if name):
                self.constant |= set(node.output)
        self.sizes, self.types = self._inferred()

    def result(self) -> FileContent:
        nodes = [node for node in self.nodes if self._is_layer(node)]
        zeros = [zero for node in nodes if (zero := self._zero_point(node))]
        others = self._other_numbers(nodes)
        values = self._evaluated({*map(_weight, nodes), *zeros, *others})
        nodes = [node for node in nodes if not _selects(values[_weight(node)])]
        layers = [self._layer(node, values) for node in nodes]
        distinct = {_weight(node): one for node, one in zip(nodes, layers, strict=True)}
        biases = [values[name] for name in others]
        weights = sum(one.weights for one in distinct.values())
        nonzero = sum(one.nonzero for one in distinct.values())
        macs = [one.macs for one in layers if one.macs is not None]
        bops = [one.macs * one.bits * one.input_bits for one in layers if one.macs is not None]
        countable = len(macs) == len(layers)
        return FileContent(
            params=weights + sum(bias.size for bias in biases),
            nonzero=nonzero + sum(int(np.count_nonzero(bias)) for bias in biases),
            sparsity=1 - nonzero / weights if weights else 0.0,
            macs=sum(macs) if countable else None,
            bops=sum(bops) if countable else None,
            weight_bytes=sum(self._bytes(name) for name in self._sources(distinct)),
            packed_bytes=_packed_bytes(distinct.values(), biases),
            layers=tuple(layers),
        )

    def _is_layer(self, node: NodeProto) -> bool:
        weighted = node.op_type in _WEIGHT and len(node.input) > _WEIGHT[node.op_type]
        return weighted and _weight(node) in self.constant and node.input[0] not in self.constant

    def _layer(self, node: NodeProto, values: Mapping[str, np.ndarray]) -> FileLayer:
        value, zero = values[_weight(node)], self._zero_point(node)
        away = value.astype(np.float32)
        if zero:
            away = away - values[zero].astype(np.float32).reshape(_channels(node, value))
        return FileLayer(
            name=node.name or _weight(node),
            kind=node.op_type,
            shape=tuple(value.shape),
            nonzero=int(np.count_nonzero(away)),
            bits=self._bits(_weight(node)),
            input_bits=self._input_bits(node),
            macs=self._macs(node, value),
        )

    def _zero_point(self, node: NodeProto) -> str:
        index = _ZERO_POINT.get(node.op_type, len(node.input))
        return str(node.input[index]) if index < len(node.input) else ""

    def _other_numbers(self, layers: Iterable[NodeProto]) -> list[str]:
        """Return the names of biases, and of scale and shift of normalisations."""
        norms: dict[str, None] = {}
        for node in layers:
            index = _BIAS.get(node.op_type, len(node.input))
            bias = node.input[index] if index < len(node.input) else self._added(node)
            if bias in self.constant:
                norms[bias] = None
        for node in self.nodes:
            if node.op_type in ("BatchNormalization", "LayerNormalization"):
                norms |= dict.fromkeys(name for name in node.input[1:3] if name in self.constant)
        return list(norms)

    def _added(self, layer: NodeProto) -> str:
        """Return the constant that is added to what ``layer`` gives, after any scaling."""
        readers = self.readers.get(layer.output[0], [])
        while len(readers) == 1 and readers[0].op_type in ("Cast", "Mul"):
            readers = self.readers.get(readers[0].output[0], [])
        if len(readers) == 1 and readers[0].op_type == "Add":
            return next((name for name in readers[0].input if name in self.constant), "")
        return ""

    def _evaluated(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """Return the values of constants, by carrying out the operators that make them."""
        wanted = sorted(names)
        needed, nodes = set(wanted), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed |= set(node.input)
                nodes.append(node)
        graph = helper.make_graph(
            nodes[::-1],
            "constants",
            [],
            [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in wanted],
            [tensor for tensor in self.model.graph.initializer if tensor.name in needed],
        )
        results = _carried_out(graph, self.model.opset_import)
        return {name: np.asarray(value) for name, value in zip(wanted, results, strict=True)}

    def _sources(self, names: Iterable[str]) -> set[str]:
        """Return the stored tensors that constants are made from."""
        tensors, left = set(), list(names)
        while left:
            name = left.pop()
            if name in self.stored:
                tensors.add(name)
            elif name in self.writers:
                left += [i for i in self.writers[name].input if i]
        return tensors

    def _bytes(self, name: str) -> int:
        tensor = self.stored[name]
        return (int(np.prod(tensor.dims)) * _width(tensor.data_type) + 7) // 8

    def _bits(self, name: str) -> int:
        """Return the width of the numbers that a weight is made from.

        Follows, from node to node, the input with the most bytes behind it. In our own files
        that leads to the sum over bit planes, whose first axis is the width.
        """
        planes = False
        while name not in self.stored:
            node = self.writers[name]
            planes = planes or node.op_type == "ReduceSum"
            if node.op_type == "ScatterElements":
                name = node.input[2]
            else:
                behind = {i: sum(map(self._bytes, self._sources([i]))) for i in node.input if i}
                name = max(behind, key=lambda i: behind[i])
        tensor = self.stored[name]
        return tensor.dims[0] if planes else _width(tensor.data_type)

    def _input_bits(self, layer: NodeProto) -> int:
        name = layer.input[0]
        while (node := self.writers.get(name)) is not None and node.op_type in _MOVERS:
            name = node.input[0]
        if node is not None and node.op_type == "DequantizeLinear":
            name = node.input[0]
        kind = self.types.get(name, TensorProto.FLOAT)
        return 32 if kind in (TensorProto.FLOAT, TensorProto.FLOAT16) else _width(kind)

    def _macs(self, node: NodeProto, weight: np.ndarray) -> int | None:
        if node.op_type in ("Gemm", "QGemm"):
            return weight.size
        size = self.sizes.get(node.output[0])
        if size is None:
            return None
        linear = "MatMul" in node.op_type
        return size * (weight.shape[-2] if linear else weight[0].size)

    def _inferred(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return, for values that the file tells, numbers a value for one image, and types."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.value_info[:]
        for value in [*model.graph.input, *model.graph.output]:
            if value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_value = 1
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        sizes, types = {}, {name: tensor.data_type for name, tensor in self.stored.items()}
        for value in [*inferred.input, *inferred.value_info, *inferred.output]:
            kind = value.type.tensor_type
            types[value.name] = kind.elem_type
            if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
                sizes[value.name] = int(np.prod([d.dim_value for d in kind.shape.dim]))
        return sizes, types


def _weight(node: NodeProto) -> str:
    return str(node.input[_WEIGHT[node.op_type]])


def _selects(weight: np.ndarray) -> bool:
    """Whether ``weight`` is a frozen 0/1 selection, of which other tools' integers are 0/255."""
    largest = weight.max(initial=1) if weight.dtype.kind in "iu" else 1
    return is_selection(weight / largest)


def _channels(node: NodeProto, weight: np.ndarray) -> tuple[int, ...]:
    """Return the shape of one number a channel, or one in all, beside ``weight``."""
    if "Conv" in node.op_type:
        return (-1, *[1] * (weight.ndim - 1))
    return (1, -1)


def _width(kind: int) -> int:
    return _NARROW.get(kind) or 8 * helper.tensor_dtype_to_np_dtype(kind).itemsize


def _packed_bytes(layers: Iterable[FileLayer], others: Iterable[np.ndarray]) -> int:
    bits = sum(32 * other.size for other in others)
    for one in layers:
        bits += min(one.weights * one.bits, one.weights + one.nonzero * one.bits)
        bits += 32 * (one.bits < 32) + 32 * (one.input_bits < 32)
    return (bits + 7) // 8


def _carried_out(graph: GraphProto, opsets: Iterable[OperatorSetIdProto]) -> list[Any]:
    """Return the outputs of a graph without inputs, by the reference evaluator."""
    model = helper.make_model(graph, opset_imports=opsets)
    try:
        return list(ReferenceEvaluator(model).run(None, {}))
    except RuntimeError:  # it knows no such version of an operator
        for stated in model.opset_import:
            if stated.domain in ("", "ai.onnx"):
                stated.version = max(stated.version, _EVALUATED_OPSET)
        return list(ReferenceEvaluator(model).run(None, {}))
