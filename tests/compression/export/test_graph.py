from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.export.graph import (
    Graph,
    _letters,
    float_values,
    fold_batch_norms,
    open_graph,
    prepend_normalisation,
    shorten,
    to_model,
)
from slimtune.compression.export.trace import trace
from slimtune.measurement.runtime import observe_ranges, predict

SHAPE = (3, 9, 8)
MEAN, STD = (0.3, 0.4, 0.5), (0.2, 0.3, 0.4)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 9, 8, 3), np.uint8)


class Net(nn.Module):
    """Two convolutions and normalisations, wired by ``order``, then pooled to 4 logits."""

    def __init__(self, order: Callable[["Net", Tensor], Tensor]) -> None:
        super().__init__()
        self.order = order
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm, self.other = _trained_norm(1), _trained_norm(2)
        self.linear = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.order(self, x).mean((2, 3)))


def _trained_norm(seed: int) -> nn.BatchNorm2d:
    norm, generator = nn.BatchNorm2d(6), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.5, -0.7, 1e-9, 0.0, -2.0, 0.3]))
        norm.bias.normal_(generator=generator)
        norm.running_mean.normal_(generator=generator)
        norm.running_var.uniform_(0.01, 2, generator=generator)
    return norm


def fold_all(net: "Net", x: Tensor) -> Tensor:
    return net.other(net.second(net.norm(net.first(x)).relu())).relu()


def norm_first(net: "Net", x: Tensor) -> Tensor:
    return net.second(net.norm(net.first(x).relu()).relu())


def shared_weight(net: "Net", x: Tensor) -> Tensor:
    out = net.first(x)
    return net.norm(net.second(out)) + net.other(net.second(out.relu()))


def read_twice(net: "Net", x: Tensor) -> Tensor:
    out = net.first(x)
    return net.norm(out) + out


def network(order: Callable[["Net", Tensor], Tensor]) -> Net:
    torch.manual_seed(0)
    return Net(order).eval()


def normalised(images: np.ndarray) -> Tensor:
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (MEAN, STD))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std


def file_logits(graph: Graph) -> np.ndarray:
    content = to_model(graph, SHAPE, 4).SerializeToString()
    return predict(content, IMAGES, mean=MEAN, std=STD)


def norms_in(graph: Graph) -> int:
    return sum(node.op_type == "BatchNormalization" for node in graph.nodes)


@pytest.mark.parametrize(
    ("order", "left"), [(fold_all, 0), (norm_first, 1), (shared_weight, 2), (read_twice, 1)]
)
def test_folding_changes_no_logit(order: Callable[[Net, Tensor], Tensor], left: int) -> None:
    model = network(order)
    graph = open_graph(trace(model, SHAPE))
    fold_batch_norms(graph)
    prepend_normalisation(graph, MEAN, STD)
    assert norms_in(graph) == left
    with torch.no_grad():
        expected = model(normalised(IMAGES)).numpy()
    np.testing.assert_allclose(file_logits(graph), expected, atol=2e-5)


def test_the_factor_is_gamma_over_the_standard_deviation() -> None:
    model = network(fold_all)
    graph = open_graph(trace(model, SHAPE))
    factors = fold_batch_norms(graph)
    norm = model.norm
    expected = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    np.testing.assert_allclose(factors["first.weight"], expected.detach(), rtol=1e-6)
    assert set(factors) == {"first.weight", "second.weight"}


def test_equal_parameters_keep_a_name_each() -> None:
    model = nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(2)], nn.Flatten(), nn.Linear(216, 4))
    model[1].load_state_dict(model[0].state_dict())
    graph = open_graph(trace(model, SHAPE))
    assert {"0.weight", "1.weight", "0.bias", "1.bias"} <= set(graph.constants)
    assert [node.input[1] for node in graph.nodes if node.op_type == "Conv"] == [
        "0.weight",
        "1.weight",
    ]


def test_sizes_of_tensors_are_not_float_values() -> None:
    class Reshaped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(216, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.view(x.size(0), -1))

    graph = open_graph(trace(Reshaped(), SHAPE))
    prepend_normalisation(graph, MEAN, STD)
    floats = float_values(graph, SHAPE, 4)
    integers = {n.output[0] for n in graph.nodes if n.op_type in ("Shape", "Gather", "Concat")}
    assert integers and not integers & floats
    assert {"normalised", "logits"} <= floats and "images" not in floats


def test_short_names_change_no_bit() -> None:
    graph = open_graph(trace(network(fold_all), SHAPE))
    prepend_normalisation(graph, MEAN, STD)
    short = shorten(graph)
    assert np.array_equal(file_logits(short), file_logits(graph))
    model = to_model(short, SHAPE, 4)
    assert model.ByteSize() < to_model(graph, SHAPE, 4).ByteSize()
    names = {name for node in short.nodes for name in (*node.input, *node.output)}
    assert max(len(name) for name in names - {"images", "logits"}) == 1
    assert [v.name for v in model.graph.input] == ["images"]
    assert [v.name for v in model.graph.output] == ["logits"]
    assert not any(node.doc_string or node.name for node in short.nodes)


def test_short_names_are_all_different() -> None:
    names = [_letters(index) for index in range(52 + 52**2 + 100)]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) == 3


def test_extra_outputs_come_beside_the_logits() -> None:
    graph = open_graph(trace(network(fold_all), SHAPE))
    prepend_normalisation(graph, MEAN, STD)
    model = to_model(graph, SHAPE, 4, ["normalised", "logits"])
    assert [v.name for v in model.graph.output] == ["logits", "normalised"]
    seen = observe_ranges(model.SerializeToString(), IMAGES, ["normalised"])["normalised"]
    expected = normalised(IMAGES)
    assert seen == (pytest.approx(float(expected.min())), pytest.approx(float(expected.max())))
