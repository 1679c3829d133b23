from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from slimtune.compression.export.graph import (
    Graph,
    float_values,
    fold_batch_norms,
    open_graph,
    prepend_normalisation,
)
from slimtune.compression.export.qdq import (
    Grid,
    activations,
    dequantized,
    fit_bias_range,
    fit_grids,
    fold_into_scales,
    insert_qdq,
    quantize_weights,
)
from slimtune.compression.export.trace import trace
from slimtune.compression.quantization import Int8Static, NoQuantization
from slimtune.compression.quantization.fit import fit_max
from slimtune.compression.quantization.protocol import Quantizer, StoredWeight
from slimtune.errors import TrialError
from slimtune.workload.shortcut import PadShortcut
from slimtune.workload.zoo.cifar_resnet import CifarResNet

SHAPE = (3, 16, 16)


@dataclass(frozen=True)
class Fixed:
    """A quantizer that gives the same answer for every weight, in the widths it was told."""

    make: Callable[[Tensor], StoredWeight]
    bits: int = 8
    activation_bits: int = 8

    def prepare(self, model: nn.Module) -> nn.Module:
        return model

    def weight(self, name: str, weight: Tensor) -> StoredWeight | None:
        return self.make(weight)


def prepared(model: nn.Module, quantizer: Quantizer) -> tuple[Graph, dict[str, StoredWeight]]:
    graph = open_graph(trace(model, SHAPE))
    stored = quantize_weights(graph, quantizer)
    stored = fold_into_scales(stored, fold_batch_norms(graph))
    prepend_normalisation(graph, (0.5,) * 3, (0.5,) * 3)
    return graph, stored


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        PadShortcut(4, 6, 1).as_selection(),
        nn.Flatten(),
        nn.Linear(6 * 49, 2),
    )


def grids_of(graph: Graph, stored: dict[str, StoredWeight]) -> dict[str, Grid]:
    names = activations(graph, stored, float_values(graph, SHAPE, 2))
    ranges = {name: (0.0, 1.0 + index) for index, name in enumerate(names)}
    return fit_grids(graph, stored, ranges)


def grid_of(low: float, high: float) -> Grid:
    return fit_grids(Graph([], {}, 20), {}, {"x": (low, high)})["x"]


def test_every_convolution_and_linear_layer_is_stored_under_its_parameters_name() -> None:
    model = CifarResNet(10, 3, depth=8)
    _, stored = prepared(model, Int8Static())
    layers = {n for n, p in model.named_parameters() if p.ndim > 1}
    selections = {"layer2.0.shortcut.weight", "layer3.0.shortcut.weight"}
    assert set(stored) == layers | selections


def test_a_float_quantizer_stores_nothing() -> None:
    assert prepared(CifarResNet(10, 3, depth=8), NoQuantization())[1] == {}


def test_a_selection_is_its_own_integers() -> None:
    model = CifarResNet(10, 3, depth=8)
    _, stored = prepared(model, Int8Static())
    selection = stored["layer2.0.shortcut.weight"]
    expected = model.layer2[0].shortcut.as_selection().weight.detach().numpy()
    assert np.array_equal(selection.integers, expected)
    assert (selection.scale == 1).all()


@pytest.mark.parametrize(
    ("quantizer", "why"),
    [
        (Fixed(lambda w: fit_max(w, 4), bits=4), "has 4 bits"),
        (Fixed(lambda w: fit_max(w, 8), activation_bits=32), "32-bit activations"),
        (
            Fixed(lambda w: StoredWeight(np.full(w.shape, -128, np.int8), np.ones(len(w)), 8)),
            "minimum of -128",
        ),
    ],
)
def test_what_the_file_cannot_hold_yet_is_refused(quantizer: Quantizer, why: str) -> None:
    with pytest.raises(TrialError, match=why):
        prepared(small(), quantizer)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=4, max_size=4))
def test_folding_multiplies_the_weight_and_keeps_scales_above_0(factor: list[float]) -> None:
    stored = fit_max(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), 8)
    folded = fold_into_scales({"w": stored}, {"w": np.array(factor)})["w"]
    expected = dequantized(stored) * np.array(factor).reshape(-1, 1)
    np.testing.assert_allclose(dequantized(folded), expected, rtol=1e-6, atol=1e-35)
    assert (folded.scale > 0).all()
    alive = np.array(factor) != 0
    assert np.array_equal(np.abs(folded.integers[alive]), np.abs(stored.integers[alive]))


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_grid_holds_0_exactly_and_covers_its_range(low: float, width: float) -> None:
    high = low + width
    grid = grid_of(low, high)
    smallest, largest = -grid.scale * grid.zero_point, grid.scale * (255 - grid.zero_point)
    assert grid.scale > 0 and 0 <= grid.zero_point <= 255
    assert smallest <= 0 <= largest
    assert smallest <= low + grid.scale and largest >= high - grid.scale


def test_the_range_of_a_relu_starts_at_zero_point_0() -> None:
    assert grid_of(0.0, 5.1) == Grid(float(np.float32(5.1 / 255)), 0)
    assert grid_of(0.7, 5.1).zero_point == 0


def test_a_value_that_is_always_0_gets_a_usable_grid() -> None:
    assert grid_of(0.0, 0.0) == Grid(1.0, 0)


def test_nothing_is_rounded_between_a_layer_and_its_relu() -> None:
    graph, stored = prepared(small(), Int8Static())
    watched = activations(graph, stored, float_values(graph, SHAPE, 2))
    by_kind = {node.output[0]: node.op_type for node in graph.nodes}
    assert [by_kind[name] for name in watched] == ["Add", "Relu", "MaxPool", "Conv", "Flatten"]
    assert watched[0] == "normalised" and "logits" not in watched


def test_operators_that_only_move_values_share_one_grid() -> None:
    graph, stored = prepared(small(), Int8Static())
    grids = grids_of(graph, stored)
    moved = [n.output[0] for n in graph.nodes if n.op_type in ("Relu", "MaxPool", "Flatten")]
    assert len({grids[name] for name in moved}) == 1
    selection = next(n for n in graph.nodes if n.op_type == "Conv" and n.input[1] == "4.weight")
    assert grids[selection.output[0]] == grids[selection.input[0]]


def test_a_nearly_dead_channel_keeps_its_bias_inside_int32() -> None:
    model = small()
    with torch.no_grad():
        model[1].weight[1], model[1].bias[1] = 1e-20, 3.0
    graph, stored = prepared(model.eval(), Int8Static())
    grids = grids_of(graph, stored)
    conv = next(node for node in graph.nodes if node.op_type == "Conv")
    bias, step = graph.constants[conv.input[2]], grids[conv.input[0]].scale
    fitted = fit_bias_range(graph, stored, grids)["0.weight"]
    assert abs(bias[1] / (step * stored["0.weight"].scale[1])) > 2**31
    assert (np.abs(bias / (step * fitted.scale)) < 2**31).all()


def test_a_relu_in_front_of_a_grid_is_dropped() -> None:
    graph, stored = prepared(small(), Int8Static())
    quantized = insert_qdq(graph, stored, grids_of(graph, stored))
    kinds = [node.op_type for node in quantized.nodes]
    assert "Relu" not in kinds
    assert kinds.count("QuantizeLinear") == 5
    assert kinds.count("DequantizeLinear") == 5 + 3 + 1  # values, weights, the linear bias
