import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.export import trace
from slimtune.compression.export.direct import write_directly
from slimtune.compression.export.graph import (
    fold_batch_norms,
    open_graph,
    prepend_normalisation,
    shorten,
    to_model,
)
from slimtune.compression.network.copies import copied
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

SHAPE = (3, 32, 32)
EXAMPLE = torch.zeros(2, *SHAPE)


def direct(network: nn.Module) -> bytes | None:
    names = {"read": trace.NETWORK_INPUT, "give": trace.LOGITS}
    model = write_directly(network.eval(), EXAMPLE, **names, opset=trace.OPSET)
    return None if model is None else finished(model)


def exported(network: nn.Module) -> bytes:
    with trace._quiet(), torch.no_grad():
        return finished(trace._by_torchscript(network, EXAMPLE))


def finished(model: object) -> bytes:
    """The bytes of the file that a traced graph becomes."""
    graph = open_graph(model)  # type: ignore[arg-type]
    fold_batch_norms(graph)
    prepend_normalisation(graph, (0.5,) * 3, (0.5,) * 3)
    return to_model(shorten(graph), SHAPE, 10).SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "name",
    ["resnet8", "resnet8b", "resnet8x2", "resnet18", "torchvision:resnet18"],
)
def test_the_file_is_that_of_the_exporter_to_the_byte(name: str) -> None:
    network = copied(build(Architecture(name, 10, 3)), (3, 32, 32))
    assert direct(network) == exported(network)


class Small(nn.Module):
    """A small network, with something in its middle."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.middle, self.linear = middle, nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.norm(self.conv(x)))
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Pooled(Small):
    """The same, with a layer that pools."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__(middle)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.flatten(self.pool(self.middle(self.norm(self.conv(x))))))


class Called(nn.Module):
    """A function as a layer."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)  # type: ignore[operator,no-any-return]


@pytest.mark.parametrize(
    "middle",
    [
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(), nn.Identity()),
        nn.Conv2d(4, 4, 3, groups=2, dilation=2, stride=2),
        Called(lambda x: x.relu() + torch.relu(x)),
    ],
)
def test_usual_layers_are_written_as_the_exporter_does(middle: nn.Module) -> None:
    network = Pooled(middle).eval()
    written = direct(network)
    assert written is not None and written == exported(network)


def test_two_layers_that_share_a_weight_read_one_constant() -> None:
    conv = nn.Conv2d(4, 4, 1)
    twin = nn.Conv2d(4, 4, 1)
    twin.weight = conv.weight
    network = Pooled(nn.Sequential(conv, twin)).eval()
    model = write_directly(network, EXAMPLE, read="in", give="out", opset=20)
    assert model is not None
    assert {n.input[1] for n in model.graph.node if n.op_type == "Conv"} == {
        "conv.weight",
        "middle.0.weight",
    }


@pytest.mark.parametrize(
    "middle",
    [
        nn.Softplus(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(4, affine=False),
        Called(lambda x: x + 1),
        Called(lambda x: x * 2),
        Called(lambda x: x if x.shape[0] > 1 else -x),
        Called(lambda x: x[:, :, ::2]),
        Called(lambda x: F.relu(x, inplace=True) + x),
    ],
)
def test_whatever_is_not_known_to_the_letter_is_left_to_the_exporters(middle: nn.Module) -> None:
    assert direct(Pooled(middle)) is None


def test_a_function_that_is_not_in_the_tables_is_left_to_the_exporters() -> None:
    assert direct(Small(nn.ReLU())) is None  # pools by a function


def test_a_network_with_hooks_is_left_to_the_exporters() -> None:
    network = Pooled(nn.ReLU())
    network.conv.register_forward_hook(lambda _, __, output: -output)
    assert direct(network) is None


def test_a_network_in_training_is_left_to_the_exporters() -> None:
    network = Pooled(nn.ReLU()).train()
    assert write_directly(network, EXAMPLE, read="in", give="out", opset=20) is None
