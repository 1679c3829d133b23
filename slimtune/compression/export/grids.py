"""Chooses the uint8 grid of every value that integer kernels read or write."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from slimtune.compression.export.graph import Graph
from slimtune.compression.export.trace import LOGITS
from slimtune.compression.export.weights import is_selection
from slimtune.compression.quantization.protocol import StoredWeight
from slimtune.compression.quantization.rounding.fit import SMALLEST_SCALE

Range = tuple[float, float]
_POOLS_AND_JOINS = ("Add", "Concat", "AveragePool", "GlobalAveragePool", "MaxPool")
_MOVERS = ("MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze")
"""Operators whose output holds only values of their input: both sides share one grid."""
_FINEST, _COARSEST = 1 / 255, 256
"""Bounds of the scale of a global average, in scales of its input. ONNX Runtime 1.31 refuses to
run an average that is finer or coarser."""


@dataclass(frozen=True)
class Grid:
    """The uint8 grid of one activation: ``value = scale * (integer - zero_point)``.

    Attributes:
        scale: above 0.
        zero_point: 0..255, the integer that stands for 0.
    """

    scale: float
    zero_point: int

    @property
    def low(self) -> float:
        """The smallest value on the grid."""
        return -self.scale * self.zero_point

    @property
    def high(self) -> float:
        """The largest value on the grid."""
        return self.scale * (255 - self.zero_point)


def values_on_grids(
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
        if len(after) == 1 and is_relu(after[0], graph):
            output = after[0].output[0]
        wanted[output] = None
    wanted.pop(LOGITS, None)
    return list(wanted)


def fit_grids(
    graph: Graph,
    stored: Mapping[str, StoredWeight],
    ranges: Mapping[str, Range],
    learned: Mapping[str, Range] | None = None,
) -> dict[str, Grid]:
    """Return one grid a value: its range widened to contain 0, cut into 255 steps.

    A value that is read only by layers that learned one and the same range gets that range.
    Where an operator only moves values its output takes the grid of its input, so that
    integers pass through unchanged. The grid of an average is as near to its input's as integer
    kernels need.

    Args:
        graph: the float graph.
        stored: the integer weights.
        ranges: smallest and largest value seen of each of `values_on_grids`.
        learned: (low, high) of the input of layers, by the name of their weight.
    """
    ranges = {**ranges, **_agreed(graph, stored, learned or {}, ranges.keys())}
    grids = {name: _grid(*ranges[name]) for name in ranges}
    # In graph order, so that a grid passes through a chain of such operators.
    for node in graph.nodes:
        if not node.input or node.input[0] not in grids or node.output[0] not in grids:
            continue
        read, written = grids[node.input[0]], grids[node.output[0]]
        if _moves_values(node, stored):
            grids[node.output[0]] = read
        elif node.op_type == "GlobalAveragePool":
            grids[node.output[0]] = _in_reach(read, written)
    return grids


def clipped_inputs(
    graph: Graph,
    stored: Mapping[str, StoredWeight],
    grids: Mapping[str, Grid],
    learned: Mapping[str, Range],
) -> dict[tuple[str, str], Grid]:
    """Return the grids of layers that cut their input below its own grid, by (input, weight).

    A layer whose learned range covers the grid of its input within one step needs none: a grid
    is shifted by up to half a step, so that it contains 0. Nor does one that would cut an average
    to less than a step of what is averaged.
    """
    clipped: dict[tuple[str, str], Grid] = {}
    finest = _finest(graph, stored, grids)
    for node in graph.nodes:
        if not _is_layer(node, stored) or node.input[1] not in learned:
            continue
        grid, (low, high) = grids[node.input[0]], learned[node.input[1]]
        if min(low, 0.0) > grid.low + grid.scale or max(high, 0.0) < grid.high - grid.scale:
            cut = _grid(max(low, grid.low), min(high, grid.high))
            if cut.scale >= finest.get(node.input[0], 0.0):
                clipped[node.input[0], node.input[1]] = cut
    return clipped


def is_relu(node: NodeProto, graph: Graph) -> bool:
    """Whether ``node`` cuts at 0 from below; a cut from above lies at or beyond its range."""
    if node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in graph.constants:
        return float(graph.constants[node.input[1]]) == 0.0
    return node.op_type == "Relu"


def _agreed(
    graph: Graph,
    stored: Mapping[str, StoredWeight],
    learned: Mapping[str, Range],
    values: Collection[str],
) -> dict[str, Range]:
    """Return the ranges that all readers of a value learned, those behind movers included."""
    readers, agreed = graph.readers(), dict[str, Range]()
    # Backwards: the readers of a pooling or a reshape must agree before it can pass that on.
    for writer in reversed(graph.nodes):
        name = writer.output[0]
        ranges = {
            _range_for(node, name, stored=stored, learned=learned, agreed=agreed)
            for node in readers.get(name, [])
        }
        if name in values and len(ranges) == 1 and None not in ranges:
            (low, high), limit = ranges.pop() or (0.0, 0.0), np.inf
            if is_relu(writer, graph):  # nothing is below 0 there, nor above the cut of a ReLU6
                low = 0.0
                if writer.op_type == "Clip" and len(writer.input) > 2:
                    limit = float(graph.constants[writer.input[2]])
            agreed[name] = low, min(high, limit)
    return agreed


def _range_for(
    reader: NodeProto,
    name: str,
    *,
    stored: Mapping[str, StoredWeight],
    learned: Mapping[str, Range],
    agreed: Mapping[str, Range],
) -> Range | None:
    """Return the range that a node which reads the value ``name`` learned; None if it has none."""
    if _moves_values(reader, stored):
        return agreed.get(reader.output[0])
    if _is_layer(reader, stored) and reader.input[0] == name:
        return learned.get(reader.input[1])
    return None


def _grid(low: float, high: float) -> Grid:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255))
    if scale < SMALLEST_SCALE:  # nothing but zeros was seen
        return Grid(1.0, 0)
    return Grid(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


def _in_reach(read: Grid, written: Grid) -> Grid:
    """Return the grid of an average, or the nearest that an integer kernel can write."""
    if written.scale > _COARSEST * read.scale:
        return read
    return Grid(max(written.scale, _FINEST * read.scale), written.zero_point)


def _finest(
    graph: Graph, stored: Mapping[str, StoredWeight], grids: Mapping[str, Grid]
) -> dict[str, float]:
    """Return the finest scale that averages, and what only moves them, can be cut to.

    ONNX Runtime joins one rounding with the next, so that a second one cannot go any further.
    """
    finest: dict[str, float] = {}
    for node in graph.nodes:
        if node.op_type == "GlobalAveragePool" and node.input[0] in grids:
            finest[node.output[0]] = _FINEST * grids[node.input[0]].scale
        elif _moves_values(node, stored) and node.input[0] in finest:
            finest[node.output[0]] = finest[node.input[0]]
    return finest


def _runs_on_integers(node: NodeProto, graph: Graph, stored: Mapping[str, StoredWeight]) -> bool:
    if node.op_type in ("Conv", "Gemm"):
        return node.input[1] in stored and node.input[0] not in graph.constants
    return node.op_type in _POOLS_AND_JOINS and not graph.constants.keys() & set(node.input)


def _values_read(node: NodeProto) -> list[str]:
    return list(node.input[:1] if node.op_type in ("Conv", "Gemm") else node.input)


def _is_layer(node: NodeProto, stored: Mapping[str, StoredWeight]) -> bool:
    return node.op_type in ("Conv", "Gemm") and node.input[1] in stored


def _moves_values(node: NodeProto, stored: Mapping[str, StoredWeight]) -> bool:
    if node.op_type == "Conv" and len(node.input) == 2 and node.input[1] in stored:
        weight = stored[node.input[1]]
        return bool(np.all(weight.scale == 1.0)) and is_selection(weight.integers)
    return node.op_type in _MOVERS
