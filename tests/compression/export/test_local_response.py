import io

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from slimtune.compression.export.local_response import OneOperator, replace_local_responses


@pytest.mark.parametrize("size", [1, 3, 5])
def test_one_operator_computes_what_torch_does(size: int) -> None:
    norm = nn.LocalResponseNorm(size, alpha=0.5, beta=0.6, k=1.5).eval()
    x = torch.randn(2, 7, 4, 5, generator=torch.Generator().manual_seed(0))
    layer = OneOperator(norm)
    assert torch.equal(layer(x), norm(x))
    buffer = io.BytesIO()
    torch.onnx.export(layer, (x,), buffer, dynamo=False, opset_version=20)  # type: ignore[arg-type]
    model = onnx.load_from_string(buffer.getvalue())
    assert [node.op_type for node in model.graph.node] == ["LRN"]
    # onnx's reference evaluator leaves out the last channel of each sum.
    session = onnxruntime.InferenceSession(buffer.getvalue())
    [found] = session.run(None, {model.graph.input[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), norm(x), rtol=1e-4, atol=1e-5)


def test_even_sizes_which_onnx_sums_otherwise_and_subclasses_stay() -> None:
    class Own(nn.LocalResponseNorm):
        pass

    network = nn.Sequential(
        nn.LocalResponseNorm(4), Own(3), nn.Sequential(nn.LocalResponseNorm(3))
    )
    replaced = [type(m).__name__ for m in replace_local_responses(network).modules()]
    assert replaced == ["Sequential", "LocalResponseNorm", "Own", "Sequential", "OneOperator"]
