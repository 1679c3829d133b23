import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from slimtune.compression.export.graph import Graph, fold_batch_norms, open_graph
from slimtune.compression.export.trace import trace
from slimtune.compression.export.weights import (
    alphabet,
    distinct,
    fit_bias_range,
    fold_into_scales,
    kernel_weights,
    nearest,
    other_weights,
)
from slimtune.compression.quantization.protocol import StoredWeight
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.errors import TrialError
from slimtune.workload.zoo.cifar_resnet import CifarResNet


def all_weights(model: nn.Module, bits: int = 8) -> dict[str, StoredWeight]:
    return {n: fit_max(p, bits) for n, p in model.named_parameters() if p.ndim > 1}


def levels(*values: int, bits: int) -> StoredWeight:
    integers = np.tile(np.array(values, np.int8), (4, 2))
    return StoredWeight(integers, np.full(4, 0.5, np.float32), bits)


def test_every_convolution_and_linear_layer_is_stored_under_its_parameters_name() -> None:
    model = CifarResNet(10, 3, depth=8)
    graph = open_graph(trace(model, (3, 16, 16)))
    found = kernel_weights(graph, all_weights(model, 3))
    selections = {"layer2.0.shortcut.weight", "layer3.0.shortcut.weight"}
    assert set(found) == set(all_weights(model)) | selections
    selection = found["layer2.0.shortcut.weight"]
    expected = model.layer2[0].shortcut.as_selection().weight.detach().numpy()
    assert np.array_equal(selection.dequantized(), expected)
    assert selection.bits == 3  # the fewest that are in use
    assert kernel_weights(graph, {}) == {}


@pytest.mark.parametrize(
    ("weight", "why"),
    [
        (StoredWeight(np.full((10, 64), -128, np.int8), np.ones(10, np.float32), 8), "-128"),
        (levels(-3, -2, -1, 0, 1, bits=2), "at most 4 distinct integers, but linear.weight has 5"),
    ],
)
def test_integers_that_do_not_fit_their_bits_are_refused(weight: StoredWeight, why: str) -> None:
    graph = open_graph(trace(CifarResNet(10, 3, depth=8), (3, 16, 16)))
    with pytest.raises(TrialError, match=why):
        kernel_weights(graph, {"linear.weight": weight})


class Tokens(nn.Module):
    """Linear layers on tokens, one without a bias, and a weight that is reshaped on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.mix = nn.Linear(16, 32)
        self.plain = nn.Linear(32, 8, bias=False)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.plain(torch.relu(self.mix(tokens))).mean(1))


def test_linear_layers_on_tokens_are_stored_and_have_no_integer_kernel() -> None:
    graph = open_graph(trace(Tokens(), (3, 16, 16)))
    stored = all_weights(Tokens(), 4)
    assert set(kernel_weights(graph, stored)) == {"patches.weight", "head.weight"}
    assert set(other_weights(graph, stored)) == set(stored)
    with pytest.raises(TrialError, match="at most 4 distinct"):
        other_weights(graph, {"plain.weight": StoredWeight(
            np.tile(np.arange(32, dtype=np.int8), (8, 1)), np.ones(8, np.float32), 2
        )})  # fmt: skip
    assert other_weights(graph, {"elsewhere": stored["mix.weight"]}) == {}


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=4, max_size=4))
def test_folding_multiplies_the_weight_and_keeps_scales_above_0(factor: list[float]) -> None:
    stored = fit_max(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), 8)
    folded = fold_into_scales({"w": stored}, {"w": np.array(factor)})["w"]
    expected = stored.dequantized() * np.array(factor).reshape(-1, 1)
    np.testing.assert_allclose(folded.dequantized(), expected, rtol=1e-6, atol=1e-35)
    assert (folded.scale > 0).all()
    alive = np.array(factor) != 0
    assert np.array_equal(np.abs(folded.integers[alive]), np.abs(stored.integers[alive]))


@pytest.mark.parametrize(
    "weight",
    [
        levels(-2, -1, 0, 1, bits=2),
        levels(-8, 7, 1, 0, bits=4),
        levels(-3, -1, 1, 3, bits=2),
        levels(*range(-8, 8), bits=4),
    ],
    ids=["LSQ, 2 bits", "flipped fits", "DoReFa, 2 bits", "all of 4 bits"],
)
def test_negative_factors_keep_the_weight_in_its_bits(weight: StoredWeight) -> None:
    factor = np.array([2.0, -1.0, 0.0, -3.0])
    folded = fold_into_scales({"w": weight}, {"w": factor})["w"]
    expected = weight.dequantized() * factor.reshape(-1, 1)
    np.testing.assert_allclose(folded.dequantized(), expected, rtol=1e-6, atol=1e-35)
    assert len(distinct(folded)) <= 2**weight.bits


def test_an_alphabet_is_all_b_bit_integers_or_the_codebook() -> None:
    assert alphabet(levels(-1, 0, 1, bits=2)).tolist() == [-2, -1, 0, 1]
    assert alphabet(levels(-3, -1, 1, 3, bits=2)).tolist() == [-3, -1, 1, 3]  # no room for 0
    assert alphabet(levels(-9, 5, bits=2)).tolist() == [-9, 0, 5]


@given(st.lists(st.integers(-127, 127), min_size=1, max_size=9, unique=True), st.floats(-130, 130))
def test_the_nearest_choice_is_the_nearest(choices: list[int], value: float) -> None:
    ordered = np.array(sorted(choices), np.int8)
    found = int(nearest(ordered, np.array([value]))[0])
    assert abs(found - value) == min(abs(c - value) for c in choices)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_nearly_dead_channel_keeps_its_bias_inside_int32(bits: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten())
    model = nn.Sequential(model, nn.Linear(4 * 36, 2)).eval()
    with torch.no_grad():
        model[0][1].weight[1], model[0][1].bias[1] = 1e-20, 3.0
        model[0][1].weight[2], model[0][1].bias[2] = -1e-20, 3.0
    graph = open_graph(trace(model, (3, 8, 8)))
    name, step = "0.0.weight", 0.01
    if bits == 2:  # a codebook without 0, whose signs cannot be flipped
        odd = np.array([-3, -1, 1, 4], np.int8)
        integers = np.random.default_rng(0).choice(odd, (4, 3, 3, 3))
        stored = {name: StoredWeight(integers, np.full(4, 0.1, np.float32), 2)}
    else:
        stored = {name: all_weights(model, bits)[name]}
    folded = fold_into_scales(stored, fold_batch_norms(graph))
    fitted = fit_bias_range(graph, folded, {name: step})[name]
    bias = _bias(graph)
    assert abs(bias[1] / (step * folded[name].scale[1])) > 2**31
    assert (np.abs(bias / (step * fitted.scale)) < 2**31).all()
    assert set(distinct(fitted)) <= set(alphabet(stored[name])) | set(-alphabet(stored[name]))
    assert len(distinct(fitted)) <= 2**bits
    # What is lost is far below the bias's own rounding to a step of the output.
    lost = np.abs(fitted.dequantized() - folded[name].dequantized()).reshape(4, -1).sum(1)
    assert (lost * 255 * step < 1e-3).all()
    untouched = [0, 3]
    assert np.array_equal(fitted.integers[untouched], folded[name].integers[untouched])


def _bias(graph: Graph) -> np.ndarray:
    conv = next(node for node in graph.nodes if node.op_type == "Conv")
    return graph.constants[conv.input[2]]
