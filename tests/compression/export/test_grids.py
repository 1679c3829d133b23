import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slimtune.compression.export.graph import (
    Graph,
    float_values,
    fold_batch_norms,
    open_graph,
    prepend_normalisation,
)
from slimtune.compression.export.grids import Grid, clipped_inputs, fit_grids, values_on_grids
from slimtune.compression.export.trace import trace
from slimtune.compression.export.weights import fold_into_scales, kernel_weights
from slimtune.compression.quantization.protocol import StoredWeight
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.workload.shortcut import PadShortcut

SHAPE = (3, 16, 16)
Prepared = tuple[Graph, dict[str, StoredWeight]]


def prepared(model: nn.Module) -> Prepared:
    graph = open_graph(trace(model, SHAPE))
    stored = {n: fit_max(p, 8) for n, p in model.named_parameters() if p.ndim > 1}
    stored = {n: w for n, w in stored.items() if not n.startswith("4.")}  # the selection
    stored = fold_into_scales(kernel_weights(graph, stored), fold_batch_norms(graph))
    prepend_normalisation(graph, (0.5,) * 3, (0.5,) * 3)
    return graph, stored


@pytest.fixture
def small() -> Prepared:
    return prepared(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU6(),
            nn.MaxPool2d(2),
            PadShortcut(4, 6, 1).as_selection(),
            nn.Flatten(),
            nn.Linear(6 * 49, 2),
        )
    )


def seen(graph: Graph, stored: dict[str, StoredWeight]) -> dict[str, tuple[float, float]]:
    names = values_on_grids(graph, stored, float_values(graph, SHAPE, 2))
    return {name: (0.0, 1.0 + index) for index, name in enumerate(names)}


def grid_of(low: float, high: float) -> Grid:
    return fit_grids(Graph([], {}, 20), {}, {"x": (low, high)})["x"]


@settings(max_examples=100)
@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_grid_holds_0_exactly_and_covers_its_range(low: float, width: float) -> None:
    grid = grid_of(low, low + width)
    assert grid.scale > 0 and 0 <= grid.zero_point <= 255
    assert grid.low <= 0 <= grid.high
    assert grid.low <= low + grid.scale and grid.high >= low + width - grid.scale


def test_the_range_of_a_relu_starts_at_zero_point_0() -> None:
    assert grid_of(0.0, 5.1) == Grid(float(np.float32(5.1 / 255)), 0)
    assert grid_of(0.7, 5.1).zero_point == 0


def test_a_value_that_is_always_0_gets_a_usable_grid() -> None:
    assert grid_of(0.0, 0.0) == Grid(1.0, 0)


def test_nothing_is_rounded_between_a_layer_and_its_relu(small: Prepared) -> None:
    graph, stored = small
    watched = values_on_grids(graph, stored, float_values(graph, SHAPE, 2))
    by_kind = {node.output[0]: node.op_type for node in graph.nodes}
    assert [by_kind[name] for name in watched] == ["Add", "Clip", "MaxPool", "Conv", "Flatten"]
    assert watched[0] == "normalised" and "logits" not in watched


def test_operators_that_only_move_values_share_one_grid(small: Prepared) -> None:
    graph, stored = small
    grids = fit_grids(graph, stored, seen(graph, stored))
    moved = [n.output[0] for n in graph.nodes if n.op_type in ("Clip", "MaxPool", "Flatten")]
    assert len({grids[name] for name in moved}) == 1
    selection = next(n for n in graph.nodes if n.op_type == "Conv" and n.input[1] == "4.weight")
    assert grids[selection.output[0]] == grids[selection.input[0]]


def test_a_learned_range_reaches_back_through_what_moves_values(small: Prepared) -> None:
    """The linear layer's range is that of the ReLU6 four operators before it."""
    graph, stored = small
    learned = {"6.weight": (-1.0, 2.0), "0.weight": (-0.5, 0.5)}
    grids = fit_grids(graph, stored, seen(graph, stored), learned)
    relu = next(node.output[0] for node in graph.nodes if node.op_type == "Clip")
    assert grids[relu] == grid_of(0.0, 2.0)  # below 0 there is nothing behind a ReLU
    assert grids["normalised"] == grid_of(-0.5, 0.5)
    assert clipped_inputs(graph, stored, grids, learned) == {}
    grids = fit_grids(graph, stored, seen(graph, stored), {"6.weight": (0.0, 9.0)})
    assert grids[relu] == grid_of(0.0, 6.0)  # the ReLU6 cuts there whatever was learned


class TwoReaders(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.linear = nn.Linear(3 * 256, 2)

    def forward(self, x: object) -> object:
        v = self.a(x).relu()
        return self.linear((self.b(v) + v).flatten(1))


@pytest.mark.parametrize(
    ("high", "own"), [(1.0, {"b.weight": (0.0, 1.0)}), (1.995, {}), (7.0, {})]
)
def test_a_shared_value_keeps_its_range_and_a_narrower_reader_gets_its_own(
    high: float, own: dict[str, tuple[float, float]]
) -> None:
    graph, stored = prepared(TwoReaders())
    ranges = seen(graph, stored)
    relu = next(node.output[0] for node in graph.nodes if node.op_type == "Relu")
    ranges[relu] = (0.0, 2.0)
    learned = {"b.weight": (-3.0, high)}
    grids = fit_grids(graph, stored, ranges, learned)
    assert grids[relu] == grid_of(0.0, 2.0)
    expected = {(relu, name): grid_of(*cut) for name, cut in own.items()}
    assert clipped_inputs(graph, stored, grids, learned) == expected


@pytest.mark.parametrize(
    ("after", "scale"), [(0.0, 1.0), (1e-5, 2 / 255**2), (1.0, 1 / 255), (1e9, 2 / 255)]
)
def test_the_grid_of_an_average_is_one_that_integer_kernels_can_write(
    after: float, scale: float
) -> None:
    pool = onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])
    grids = fit_grids(Graph([pool], {}, 20), {}, {"x": (0.0, 2.0), "y": (0.0, after)})
    assert grids["y"].scale == pytest.approx(scale)


class Squeezed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.linear = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

    def forward(self, x: object) -> object:
        pooled = nn.functional.adaptive_avg_pool2d(self.a(x), 1)
        return self.linear(pooled.flatten(1)) + self.b(pooled).flatten(1)[:, :2]


def test_a_learned_range_that_collapsed_cuts_no_average_finer_than_kernels_can_write() -> None:
    graph, stored = prepared(Squeezed())
    learned = {"a.weight": (-1.0, 1.0), "b.weight": (0.0, 1e-6), "linear.weight": (-0.1, 0.1)}
    grids = fit_grids(graph, stored, seen(graph, stored), learned)
    clipped = clipped_inputs(graph, stored, grids, learned)
    assert {weight for _, weight in clipped} == {"linear.weight"}


class Twice(nn.Module):
    """One convolution that reads two values of different ranges."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.linear = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

    def forward(self, x: object) -> object:
        v = self.a(x)
        return self.linear((self.b(v) + self.b(v * 2)).mean((2, 3)))


def test_a_layer_that_is_applied_twice_cuts_each_input_on_its_own() -> None:
    graph, stored = prepared(Twice())
    first, second = (node.input[0] for node in graph.nodes if "b.weight" in node.input)
    ranges = {**seen(graph, stored), first: (-2.0, 6.0), second: (-3.0, 1.0)}
    learned = {"b.weight": (-1.0, 4.0)}
    grids = {name: grid_of(*ranges[name]) for name in ranges}
    clipped = clipped_inputs(graph, stored, grids, learned)
    assert clipped[first, "b.weight"] == grid_of(-1.0, 4.0)
    assert clipped[second, "b.weight"].high == pytest.approx(1.0, abs=0.02)
