"""Quantization at the level of the graph: integer weights, and activations on uint8 grids.

Everything is written with `QuantizeLinear` and `DequantizeLinear` (QDQ form, standard
operators). A runtime that knows the form replaces each operator between a DequantizeLinear and
a QuantizeLinear by its integer kernel; one that does not computes the same in float.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from slimtune.compression.export.graph import Graph
from slimtune.compression.export.grids import Grid, is_relu
from slimtune.compression.export.storage import Numbers, write_numbers
from slimtune.compression.quantization.protocol import StoredWeight


def insert_qdq(
    graph: Graph,
    stored: Mapping[str, StoredWeight],
    grids: Mapping[str, Grid],
    clipped: Mapping[tuple[str, str], Grid] | None = None,
) -> Graph:
    """Return the graph in QDQ form.

    A ReLU whose output has a grid that starts at 0 is dropped: the grid saturates there. The
    biases of convolutions stay float, which takes half the bytes of int32 with its scales;
    runtimes round them when they load the file. The bias of a linear layer is int32, because
    ONNX Runtime 1.31 has no integer kernel for it otherwise.

    Args:
        graph: the float graph.
        stored: the integer weights.
        grids: of values, by name.
        clipped: grids of layers that read a value on a smaller grid than others do, by the names
            of the value and of their weight; they get a QuantizeLinear of their own, which cuts.
    """
    return _Insertion(graph, stored, grids, clipped or {}).result()


class _Insertion:
    """One graph on its way to QDQ form."""

    def __init__(
        self,
        graph: Graph,
        stored: Mapping[str, StoredWeight],
        grids: Mapping[str, Grid],
        clipped: Mapping[tuple[str, str], Grid],
    ) -> None:
        self.graph, self.stored, self.grids, self.clipped = graph, stored, grids, clipped
        self.constants = dict(graph.constants)
        self.nodes: list[NodeProto] = []
        self.present: set[str] = set()

    def result(self) -> Graph:
        relus = [node for node in self.graph.nodes if self._is_dropped(node)]
        before = {node.output[0]: node.input[0] for node in relus}
        self._write_weights()
        for node in self.graph.nodes:
            if node.output[0] not in before:
                self.nodes.append(self._rewired(node))
            for name in node.output:
                if name in self.grids:
                    source = self._dequantized(before[name]) if name in before else name
                    self._round(source, name, self.grids[name])
        return Graph(self.nodes, self.constants, self.graph.opset)

    def _is_dropped(self, node: NodeProto) -> bool:
        grid = self.grids.get(node.output[0])
        return grid is not None and grid.zero_point == 0 and is_relu(node, self.graph)

    def _rewired(self, node: NodeProto) -> NodeProto:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self._dequantized(name) for name in node.input]
        if node.op_type not in ("Conv", "Gemm") or node.input[1] not in self.stored:
            return copy
        grid = self.grids[node.input[0]]
        # A layer with a smaller learned range reads the value through a grid of its own.
        if (node.input[0], node.input[1]) in self.clipped:
            grid = self.clipped[node.input[0], node.input[1]]
            name = f"{node.input[0]}:{grid}"
            if name not in self.present:
                self._round(copy.input[0], name, grid)
            copy.input[0] = f"{name}:dequantized"
        if node.op_type == "Gemm" and len(node.input) > 2:
            copy.input[2] = self._write_bias(node, grid)
        return copy

    def _write_weights(self) -> None:
        """Add the integers of every weight, however they are stored, and their scales."""
        numbers = {
            f"{name}:integers": Numbers(weight.integers, weight.bits)
            for name, weight in self.stored.items()
        }
        self.nodes += write_numbers(numbers, self.constants, np.int8)
        for name, weight in self.stored.items():
            self._write_scale(name, weight)

    def _write_scale(self, name: str, weight: StoredWeight) -> None:
        inputs = [self._with_signs(name, weight), f"{name}:scale"]
        scale = np.abs(weight.scale)  # kernels want scales above 0; the integers take the signs
        axis: dict[str, Any] = {"axis": 0}
        if weight.integers.ndim == 2:
            # ONNX Runtime 1.31 fuses a Gemm only when its weight names a zero point.
            self.constants[f"{name}:zero"] = np.zeros(len(scale), np.int8)
            inputs.append(f"{name}:zero")
        elif np.all(scale == scale[0]):
            scale, axis = scale[0], {}
        self.constants[f"{name}:scale"] = scale
        output = f"{name}:dequantized"
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [output], **axis))

    def _with_signs(self, name: str, weight: StoredWeight) -> str:
        """Return the name of the integers with the signs of negative scales: folded at load."""
        integers, signs = f"{name}:integers", np.sign(weight.scale)
        if (signs > 0).all():
            return integers
        shape = (-1, *[1] * (weight.integers.ndim - 1))
        self.constants[f"{name}:signs"] = signs.astype(np.int32).reshape(shape)
        wide, signed, narrow = (f"{integers}:{n}" for n in ("wide", "signed", "narrow"))
        self.nodes += [
            helper.make_node("Cast", [integers], [wide], to=TensorProto.INT32),
            helper.make_node("Mul", [wide, f"{name}:signs"], [signed]),
            helper.make_node("Cast", [signed], [narrow], to=TensorProto.INT8),
        ]
        return narrow

    def _write_bias(self, gemm: NodeProto, grid: Grid) -> str:
        # A layer that is applied twice rounds its bias to the grid of each input.
        name = f"{gemm.input[2]}:{gemm.input[1]}:{grid.scale!r}"
        if name in self.present:
            return f"{name}:dequantized"
        self.present.add(name)
        scale = (grid.scale * np.abs(self.stored[gemm.input[1]].scale)).astype(np.float32)
        self.constants[f"{name}:scale"] = scale
        integers = np.rint(self.constants[gemm.input[2]] / scale).astype(np.int32)
        self.constants[f"{name}:integers"] = integers
        inputs, output = [f"{name}:integers", f"{name}:scale"], f"{name}:dequantized"
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [output], axis=0))
        return output

    def _round(self, source: str, name: str, grid: Grid) -> None:
        """Put ``source`` onto ``grid``; readers find it under ``name:dequantized``."""
        self.present.add(name)
        scale, zero = f"scale:{grid.scale!r}", f"zero:{grid.zero_point}"
        self.constants[scale] = np.asarray(grid.scale, np.float32)
        self.constants[zero] = np.asarray(grid.zero_point, np.uint8)
        quantized, output = f"{name}:quantized", f"{name}:dequantized"
        self.nodes += [
            helper.make_node("QuantizeLinear", [source, scale, zero], [quantized]),
            helper.make_node("DequantizeLinear", [quantized, scale, zero], [output]),
        ]

    def _dequantized(self, name: str) -> str:
        on_a_grid = name in self.stored or name in self.grids
        return f"{name}:dequantized" if on_a_grid else name
