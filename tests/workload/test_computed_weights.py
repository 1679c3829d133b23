import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.utils as old
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from slimtune.errors import ModelError
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.computed_weights import (
    detach_computed_weights,
    fold_computed_weights,
    load_and_fold,
)

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
PLAIN = {"0.weight", "0.bias", "3.weight", "3.bias"}


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight + weight.flip(-1)


def of_own(layer: nn.Module) -> nn.Module:
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


COMPUTED: list[Callable[[nn.Module], nn.Module]] = [
    parametrizations.weight_norm,
    parametrizations.spectral_norm,
    parametrizations.orthogonal,
    lambda layer: parametrizations.spectral_norm(parametrizations.weight_norm(layer)),
    old.weight_norm,
    old.spectral_norm,
    lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    of_own,
]


def net(change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    conv, linear = change(nn.Conv2d(3, 8, 3)), change(nn.Linear(8 * 36, 5))
    network = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), linear)
    network(IMAGES)  # in training: spectral normalisation estimates
    return network


@pytest.mark.parametrize("change", COMPUTED)
@pytest.mark.filterwarnings("ignore")
def test_folded_weights_are_plain_and_compute_the_same(
    change: Callable[[nn.Module], nn.Module],
) -> None:
    network = net(change)
    expected = network.eval()(IMAGES).detach()
    folded = fold_computed_weights(network.train())
    assert folded is network and network.training and set(network.state_dict()) == PLAIN
    assert {name for name, _ in network.named_parameters()} == PLAIN
    torch.testing.assert_close(copy.deepcopy(network).eval()(IMAGES), expected)


@pytest.mark.parametrize("change", COMPUTED)
@pytest.mark.filterwarnings("ignore")
def test_a_file_of_either_kind_is_loaded(
    change: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    trained = net(change)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.5)
    expected = trained.eval()(IMAGES).detach()
    save_weights(trained, tmp_path / "trained.safetensors")
    save_weights(fold_computed_weights(trained), tmp_path / "in-use.safetensors")
    for name in ("trained", "in-use"):
        read = net(change)
        assert load_and_fold(read, tmp_path / f"{name}.safetensors") == ""
        torch.testing.assert_close(read.eval()(IMAGES), expected)


@pytest.mark.filterwarnings("ignore")
def test_what_a_hook_computed_does_not_stand_in_the_way_of_a_copy() -> None:
    network = net(old.weight_norm)
    with pytest.raises(RuntimeError):
        copy.deepcopy(network)
    detach_computed_weights(network)
    assert torch.equal(copy.deepcopy(network)(IMAGES), network(IMAGES))


def test_plain_networks_are_left_alone() -> None:
    network = net(lambda layer: layer)
    before = {name: id(p) for name, p in network.named_parameters()}
    fold_computed_weights(network)
    assert {name: id(p) for name, p in network.named_parameters()} == before


def test_weights_computed_in_another_way_are_refused() -> None:
    network = net(lambda layer: layer)
    base = network[0]._parameters.pop("weight")
    network[0].register_parameter("base", base)
    network[0].register_forward_pre_hook(lambda m, _: setattr(m, "weight", m.base * 2))
    network(IMAGES)
    with pytest.raises(ModelError, match="weight of layer '0' is computed in a way"):
        fold_computed_weights(network)
