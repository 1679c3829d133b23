import pytest
import torch
from torch import nn

from slimtune.compression.network.layers import weight_layers
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


def resnet(name: str) -> nn.Module:
    return materialize_shortcuts(build(Architecture(name, 10, 3)))


@pytest.mark.parametrize(("name", "count"), [("resnet20", 20), ("resnet56", 56), ("resnet8", 8)])
def test_every_layer_of_a_resnet_is_found_once_in_its_stage(name: str, count: int) -> None:
    layers = weight_layers(resnet(name), torch.zeros(2, 3, 32, 32))
    assert len(layers) == count  # the frozen selections of option A are left out
    levels = [layer.level for layer in layers]
    assert levels == sorted(levels) and set(levels) == {0, 1, 2}
    blocks = (count - 2) // 3
    assert levels.count(0) == 1 + blocks and levels.count(2) == blocks + 1


def test_first_and_last_are_by_execution_not_by_registration() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)
            self.never = nn.Conv2d(3, 3, 1)
            self.stem = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.stem(x).mean((2, 3)))

    layers = weight_layers(Backwards(), torch.zeros(2, 3, 8, 8))
    assert [layer.name for layer in layers] == ["stem", "head"]
    assert [(layer.first, layer.last) for layer in layers] == [(True, False), (False, True)]
    assert [layer.weight_name for layer in layers] == ["stem.weight", "head.weight"]


def test_a_layer_called_twice_counts_once_and_a_bare_layer_has_no_prefix() -> None:
    shared = nn.Conv2d(3, 3, 1)
    assert len(weight_layers(nn.Sequential(shared, shared), torch.zeros(2, 3, 4, 4))) == 1
    (only,) = weight_layers(nn.Conv2d(3, 3, 1), torch.zeros(2, 3, 4, 4))
    assert only.weight_name == "weight" and only.first and only.last


def test_the_network_is_left_as_it_was() -> None:
    model = resnet("resnet8")
    model.train()
    model.bn1.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    weight_layers(model, torch.randn(2, 3, 32, 32))
    assert model.training and not model.bn1.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
