import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from slimtune.compression.export.constants import MOST_NUMBERS, fold_constants
from slimtune.compression.export.graph import Graph, open_graph
from slimtune.compression.export.trace import trace


def opened(nodes: list[onnx.NodeProto], **constants: np.ndarray) -> Graph:
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    given = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    body = helper.make_graph(nodes, "net", [value], [given], tensors)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)])
    graph = open_graph(model)
    fold_constants(graph, model)
    return graph


def node(kind: str, inputs: str, output: str, **values: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **values)


def test_a_chain_of_constants_becomes_one() -> None:
    weight, two = np.ones((3, 5), np.float32), np.asarray(2, np.int64)
    graph = opened(
        [
            node("Shape", "w", "shape", start=1, end=2),
            node("CastLike", "two x", "like"),
            node("Expand", "like shape", "bias"),
            node("Gemm", "x w bias", "logits"),
        ],
        w=weight,
        two=two,
    )
    assert [n.op_type for n in graph.nodes] == ["Gemm"]
    assert graph.constants["bias"].dtype == np.float32
    np.testing.assert_array_equal(graph.constants["bias"], [2, 2, 2, 2, 2])


def test_a_weight_keeps_its_name_and_large_results_stay_operators() -> None:
    graph = opened(
        [
            node("Transpose", "w", "turned", perm=[1, 0]),
            node("ConstantOfShape", "many", "ones"),
            node("MatMul", "x turned", "logits"),
        ],
        w=np.ones((5, 3), np.float32),
        many=np.asarray([MOST_NUMBERS + 1], np.int64),
    )
    assert [n.op_type for n in graph.nodes] == ["Transpose", "ConstantOfShape", "MatMul"]


def test_what_is_computed_from_the_image_stays() -> None:
    nodes = [node("Shape", "x", "size"), node("Reshape", "x size", "logits")]
    assert len(opened(nodes).nodes) == 2


def test_a_convolution_without_bias_has_none_that_is_computed() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.acosh(self.norm(self.conv(x)).abs() + 1).mean((2, 3))

    traced = trace(Net().eval(), (3, 8, 8))
    graph = open_graph(traced)
    fold_constants(graph, traced)
    layers = [n for n in graph.nodes if n.op_type in ("Conv", "BatchNormalization")]
    assert len(layers) == 2
    assert all(name in graph.constants for n in layers for name in n.input[1:])
