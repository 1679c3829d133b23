import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.export.trace import trace
from slimtune.errors import TrialError
from slimtune.workload.shortcut import PadShortcut
from slimtune.workload.zoo.cifar_resnet import CifarResNet


class With(nn.Module):
    """A small network around one operator."""

    def __init__(self, operator: str) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.linear, self.operator = nn.Linear(4, 2), operator

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(x))
        if self.operator == "svd":
            return self.linear(torch.linalg.svdvals(out).sum(2))
        return self.linear(torch.acosh(out).mean((2, 3)))


def test_every_parameter_is_found_under_its_own_name() -> None:
    model = CifarResNet(10, 3, depth=8)
    names = {tensor.name for tensor in trace(model, (3, 32, 32)).graph.initializer}
    weights = {n for n, p in model.named_parameters() if p.ndim > 1}
    assert weights <= names


def test_batch_normalisations_are_not_folded() -> None:
    model = CifarResNet(10, 3, depth=8)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    nodes = [node.op_type for node in trace(model, (3, 32, 32)).graph.node]
    assert nodes.count("BatchNormalization") == norms == 7


def test_option_a_shortcuts_become_convolutions_and_the_network_keeps_its_own() -> None:
    model = CifarResNet(10, 3, depth=8)
    nodes = {node.op_type for node in trace(model, (3, 32, 32)).graph.node}
    assert not nodes & {"Pad", "Slice"}
    assert any(isinstance(module, PadShortcut) for module in model.modules())


def test_tracing_leaves_a_network_in_training_mode_and_unchanged() -> None:
    model = CifarResNet(10, 3, depth=8).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace(model, (3, 32, 32))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_torch_export_takes_over_in_silence_where_torchscript_has_no_operator(
    capfd: pytest.CaptureFixture[str],
) -> None:
    traced = trace(With("acosh"), (3, 8, 8))
    names = {tensor.name for tensor in traced.graph.initializer}
    nodes = [node.op_type for node in traced.graph.node]
    assert {"conv.weight", "linear.weight", "norm.running_var"} <= names
    assert "BatchNormalization" in nodes and "Acosh" in nodes
    assert [v.name for v in traced.graph.input] == ["normalised"]
    assert [v.name for v in traced.graph.output] == ["logits"]
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_an_operator_that_onnx_does_not_have_is_refused_in_one_line() -> None:
    with pytest.raises(TrialError, match="With is not: .*svd") as caught:
        trace(With("svd"), (3, 8, 8))
    assert "\n" not in str(caught.value)


class Talking(nn.Module):
    """A network that prints."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool, self.linear = (
            nn.Conv2d(3, 4, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Linear(4, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        print("called")  # noqa: T201
        return self.linear(self.pool(self.conv(x)).flatten(1))


def test_what_a_network_prints_while_it_is_traced_is_held_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert [n.op_type for n in trace(Talking(), (3, 8, 8)).graph.node][-1] == "Gemm"
    assert capfd.readouterr() == ("", "")


class Branching(nn.Module):
    """TorchScript makes a branch of `squeeze`, whose outcome it does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = nn.functional.pad(self.conv(x).flatten(2).unsqueeze(1), (0, 0, 2, 2))
        pooled = nn.functional.avg_pool2d(padded, (5, 1), stride=1)
        return self.linear(pooled.squeeze(1).mean(2))


def test_a_graph_with_branches_is_left_to_the_exporter_that_knows_sizes() -> None:
    traced = trace(Branching(), (3, 8, 8))
    assert not any(a.HasField("g") for node in traced.graph.node for a in node.attribute)
    assert any(node.op_type == "AveragePool" for node in traced.graph.node)


def test_a_shared_layer_has_its_first_name_whichever_exporter_writes_it() -> None:
    shared = nn.Conv2d(4, 4, 1, bias=False)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), shared, nn.ReLU(), shared, Acosh(), nn.Flatten())
    traced = trace(nn.Sequential(network, nn.Linear(4 * 36, 2)), (3, 8, 8))
    names = {tensor.name for tensor in traced.graph.initializer}
    assert "0.1.weight" in names and "0.3.weight" not in names
    assert sum("0.1.weight" in node.input for node in traced.graph.node) >= 2


class Acosh(nn.Module):
    """Only torch.export has it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.acosh(x.abs() + 1)
