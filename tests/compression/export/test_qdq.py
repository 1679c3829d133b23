import numpy as np
import pytest
from onnx import helper

from slimtune.compression.export.graph import Graph
from slimtune.compression.export.grids import Grid
from slimtune.compression.export.qdq import insert_qdq
from slimtune.compression.quantization.protocol import StoredWeight

ONES = StoredWeight(np.ones((2, 2, 1, 1), np.int8), np.array([0.5, 0.25], np.float32), 8)


def conv_relu_conv() -> Graph:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "v"], ["y"]),
    ]
    return Graph(nodes, {"w": ONES.dequantized(), "v": ONES.dequantized()}, 20)


GRIDS = {"x": Grid(0.1, 3), "r": Grid(0.2, 0), "y": Grid(0.3, 9)}
BOTH = {"w": ONES, "v": ONES}


def kinds(graph: Graph) -> list[str]:
    return [node.op_type for node in graph.nodes]


def test_a_relu_in_front_of_a_grid_is_dropped() -> None:
    found = kinds(insert_qdq(conv_relu_conv(), BOTH, GRIDS))
    assert "Relu" not in found
    assert found.count("QuantizeLinear") == 2  # x is no node's output here
    assert found.count("DequantizeLinear") == 2 + 2


def test_a_relu_in_front_of_a_grid_that_goes_below_0_stays() -> None:
    found = kinds(insert_qdq(conv_relu_conv(), BOTH, {**GRIDS, "r": Grid(0.2, 1)}))
    assert found.count("Relu") == 1


def test_a_reader_with_a_grid_of_its_own_gets_its_own_pair() -> None:
    graph = insert_qdq(conv_relu_conv(), BOTH, GRIDS, {("r", "v"): Grid(0.05, 0)})
    assert kinds(graph).count("QuantizeLinear") == 3
    last = [node for node in graph.nodes if node.op_type == "Conv"][-1]
    writers = graph.writers()
    narrow = writers[last.input[0]]
    assert float(graph.constants[narrow.input[1]]) == pytest.approx(0.05)
    before = writers[writers[narrow.input[0]].input[0]]
    assert float(graph.constants[before.input[1]]) == pytest.approx(0.2)


def test_equal_scales_are_one_number_and_negative_ones_become_signs() -> None:
    equal = StoredWeight(ONES.integers, np.full(2, 0.5, np.float32), 8)
    negative = StoredWeight(ONES.integers, np.array([0.5, -0.5], np.float32), 8)
    graph = insert_qdq(conv_relu_conv(), {"w": equal, "v": negative}, GRIDS)
    assert graph.constants["w:scale"].shape == ()
    assert float(graph.constants["v:scale"]) == 0.5
    assert graph.constants["v:signs"].reshape(-1).tolist() == [1, -1]
