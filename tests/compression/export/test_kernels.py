import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from slimtune.compression.export.graph import Graph, open_graph
from slimtune.compression.export.kernels import half_weights, insert_dynamic, store_floats
from slimtune.compression.export.trace import LOGITS, NETWORK_INPUT, trace
from slimtune.compression.quantization.rounding.fit import fit_max

SHAPE = (3, 6, 6)


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, groups=1), nn.Conv2d(8, 8, 3, groups=8), nn.Linear(32, 4)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.Flatten(), layers[2]).eval()


def run(graph: Graph, x: np.ndarray) -> np.ndarray:

    body = helper.make_graph(
        graph.nodes,
        "g",
        [helper.make_tensor_value_info(NETWORK_INPUT, TensorProto.FLOAT, ["n", *SHAPE])],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in graph.constants.items()],
    )
    opsets = [helper.make_opsetid("", graph.opset)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=10)
    logits: np.ndarray = onnxruntime.InferenceSession(model.SerializeToString()).run(
        None, {NETWORK_INPUT: x}
    )[0]
    return logits


IMAGES = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)


def test_integers_become_float_weights_and_small_constants_stay() -> None:
    model = network()
    stored = {n: fit_max(p, 5) for n, p in model.named_parameters() if p.ndim > 1}
    graph = store_floats(open_graph(trace(model, SHAPE)), stored, {}, {})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in stored:
                parameter.copy_(torch.from_numpy(stored[name].dequantized()))
        expected = model(torch.from_numpy(IMAGES)).numpy()
    np.testing.assert_allclose(run(graph, IMAGES), expected, atol=1e-5)
    assert graph.constants["0.bias"].dtype == np.float32


def test_only_exact_half_precision_numbers_are_stored_as_such() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight.half().float())
        model[4].weight[0, 0] = 1e6  # beyond half's range
    graph = open_graph(trace(model, SHAPE))
    halves = half_weights(graph)
    assert set(halves) == {"0.weight"}
    factor = np.linspace(0.5, 2, 8)
    stored = store_floats(graph, {}, halves, {"0.weight": factor})
    assert stored.constants["0.weight:unpacked:stored"].dtype == np.float16
    with torch.no_grad():
        model[0].weight.mul_(torch.from_numpy(factor).float().reshape(-1, 1, 1, 1))
        expected = model(torch.from_numpy(IMAGES)).numpy()
    np.testing.assert_allclose(run(stored, IMAGES), expected, rtol=1e-5, atol=1e-1)


def test_dynamic_layers_are_what_the_standard_says_they_are() -> None:
    """An independent simulation: u8 grid of the whole batch, exact products, float scales."""
    model = network()
    stored = {n: fit_max(p, 8) for n, p in model.named_parameters() if p.ndim > 1}
    graph = insert_dynamic(open_graph(trace(model, SHAPE)), stored)
    kinds = [node.op_type for node in graph.nodes]
    assert (kinds.count("ConvInteger"), kinds.count("MatMulInteger")) == (2, 1)

    def on_grid(x: torch.Tensor) -> torch.Tensor:
        low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
        scale = (high - low) / 255
        return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 255)

    with torch.no_grad():
        exact = model(torch.from_numpy(IMAGES)).numpy()
        for name, parameter in model.named_parameters():
            if name in stored:
                parameter.copy_(torch.from_numpy(stored[name].dequantized()))
        x = model[0](on_grid(torch.from_numpy(IMAGES))).relu()
        simulated = model[4](on_grid(model[2](on_grid(x)).flatten(1))).numpy()
    found = run(graph, IMAGES)
    assert np.std(found - simulated) < 0.2 * np.std(simulated - exact)


def test_a_layer_that_feeds_the_next_directly_has_dynamic_kernels_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 4))
    model.eval()
    stored = {n: fit_max(p, 8) for n, p in model.named_parameters() if p.ndim > 1}
    graph = insert_dynamic(open_graph(trace(model, SHAPE)), stored)
    outputs = [name for node in graph.nodes for name in node.output]
    assert len(outputs) == len(set(outputs))
    with torch.no_grad():
        expected = model(torch.from_numpy(IMAGES)).numpy()
    np.testing.assert_allclose(run(graph, IMAGES), expected, atol=0.05)
