import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch.nn import functional as F

from slimtune.compression.export.graph import Graph, attributes
from slimtune.compression.export.padding import write_pads


def conv(kernel: tuple[int, int], **values: object) -> Graph:
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=kernel, **values)
    return Graph([node], {"w": np.ones((1, 1, *kernel), np.float32)}, 20)


@pytest.mark.parametrize("kernel", [(3, 3), (2, 5), (4, 1)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
def test_same_pads_as_torch_does(kernel: tuple[int, int], dilation: tuple[int, int]) -> None:
    graph = conv(kernel, auto_pad="SAME_UPPER", dilations=dilation)
    write_pads(graph)
    assert "auto_pad" not in attributes(graph.nodes[0])
    x = torch.rand(1, 1, 12, 14, generator=torch.Generator().manual_seed(0))
    weight = torch.from_numpy(graph.constants["w"])
    wanted = F.conv2d(x, weight, padding="same", dilation=dilation).numpy()
    info = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in "xwy"]
    body = helper.make_graph(graph.nodes, "one", info[:2], info[2:])
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)])
    [found] = ReferenceEvaluator(made).run(None, {"x": x.numpy(), "w": weight.numpy()})
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_valid_pads_nothing_and_lower_puts_the_odd_zero_first() -> None:
    valid, lower = conv((3, 3), auto_pad="VALID"), conv((2, 2), auto_pad="SAME_LOWER")
    write_pads(valid)
    write_pads(lower)
    assert attributes(valid.nodes[0])["pads"] == [0, 0, 0, 0]
    assert attributes(lower.nodes[0])["pads"] == [1, 1, 0, 0]


def test_with_a_stride_and_with_numbers_nothing_changes() -> None:
    for graph in (conv((3, 3), auto_pad="SAME_UPPER", strides=[2, 2]), conv((3, 3), pads=[1] * 4)):
        before = graph.nodes[0].SerializeToString()
        write_pads(graph)
        assert graph.nodes[0].SerializeToString() == before
