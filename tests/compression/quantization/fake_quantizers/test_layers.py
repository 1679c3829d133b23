import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.pruning.stage.surgery import check_prunable, find_groups, remove_channels
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.fake_quantizers.layers import (
    FakeQuantConv2d,
    WeightQuantizer,
    can_be_fake_quantized,
    fake_quantized,
    insert,
    quantized_weight,
    quantizers_off,
    strip,
)
from slimtune.workload.shortcut import SelectionConv2d, materialize_shortcuts
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

LEARNED = [name for name in QUANTIZATION if QUANTIZATION[name].trains]
IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Thirds(WeightQuantizer):
    """Everything becomes 1/3, even 0."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight * 0 + 1 / 3

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(weight), torch.tensor(1 / 3)


@pytest.fixture(params=LEARNED)
def prepared(request: pytest.FixtureRequest) -> Iterator[nn.Module]:
    torch.manual_seed(0)
    network = materialize_shortcuts(build(Architecture("resnet8", 10, 3))).eval()
    method: Any = QUANTIZATION[request.param]
    yield method(bits=4, activation_bits=4).prepare(network, IMAGES)


def test_a_layer_stays_the_same_object_with_the_same_parameters_under_the_same_names() -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1)
    network = nn.Sequential(layer)
    parameters = dict(network.named_parameters())
    insert(layer, Thirds(8), None)
    assert network[0] is layer and isinstance(layer, FakeQuantConv2d)
    assert all(dict(network.named_parameters())[name] is p for name, p in parameters.items())
    assert strip(network)[0] is layer and type(layer) is nn.Conv2d  # type: ignore[index]
    assert list(network.named_modules()) == [("", network), ("0", layer)]
    assert dict(network.named_parameters()).keys() == parameters.keys()


def test_frozen_selections_are_left_alone() -> None:
    assert can_be_fake_quantized(nn.Linear(2, 2)) and can_be_fake_quantized(nn.Conv2d(2, 2, 1))
    assert not can_be_fake_quantized(SelectionConv2d(2, 4, 2))


def test_trap_8_pruned_weights_stay_0_but_keep_their_gradient() -> None:
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight[1] = 0
    insert(layer, Thirds(8), None)
    output = layer(torch.ones(1, 3))
    torch.testing.assert_close(output, torch.tensor([[1.0, 0.0]]))
    ((_, fake),) = fake_quantized(layer)
    assert fake.weight_quantizer.stored(layer.weight).integers.tolist() == [[1] * 3, [0] * 3]
    quantized = quantized_weight(fake)
    quantized.retain_grad()
    quantized.sum().backward()
    assert quantized.grad is not None and (quantized.grad == 1).all()


def test_all_learned_quantizers_are_trained_scalars(prepared: nn.Module) -> None:
    added = [
        parameter
        for _, layer in fake_quantized(prepared)
        for quantizer in (layer.weight_quantizer, layer.input_quantizer)
        if quantizer is not None
        for parameter in quantizer.parameters()
    ]
    assert all(parameter.ndim == 0 for parameter in added)
    prepared.train()(IMAGES).square().sum().backward()
    trained = [parameter for parameter in prepared.parameters() if parameter.requires_grad]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)


def test_copies_pickles_and_state_dicts_compute_the_same_bits(prepared: nn.Module) -> None:
    expected = prepared(IMAGES)
    pickled = pickle.loads(pickle.dumps(prepared))
    loaded = copy.deepcopy(prepared)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.mul_(0.5)
    loaded.load_state_dict(prepared.state_dict())
    for network in (copy.deepcopy(prepared), pickled, loaded):
        assert torch.equal(network(IMAGES), expected)


def test_with_quantizers_off_surgery_finds_and_cuts_what_it_does_in_the_plain_network(
    prepared: nn.Module,
) -> None:
    plain = strip(copy.deepcopy(prepared))
    with quantizers_off(prepared):
        assert torch.equal(prepared(IMAGES), plain(IMAGES))
        groups = [group.name for group in find_groups(prepared, IMAGES[:2])]
        assert groups == [group.name for group in find_groups(plain, IMAGES[:2])] != []
        check_prunable(prepared, IMAGES[:2])
        for network in (prepared, plain):
            remove_channels(network, IMAGES[:2], {name: [0, 5] for name in groups})
    assert len(fake_quantized(prepared)) == 8
    assert prepared(IMAGES).shape == (4, 10)
    assert torch.equal(strip(prepared)(IMAGES), plain(IMAGES))


def test_removing_zeroed_channels_leaves_the_quantized_function_as_it_was(
    prepared: nn.Module,
) -> None:
    with quantizers_off(prepared):
        groups = {group.name: group for group in find_groups(prepared, IMAGES[:2])}
    group = groups["layer2.0.conv1"]
    with torch.no_grad():
        for _, module in (*group.producers, *group.norms):
            for parameter in module.parameters(recurse=False):
                parameter[[1, 4, 30]] = 0
    masked = prepared(IMAGES)
    with quantizers_off(prepared):
        remove_channels(prepared, IMAGES[:2], {group.name: [1, 4, 30]})
    torch.testing.assert_close(prepared(IMAGES), masked, rtol=1e-4, atol=1e-5)


def test_quantizers_come_back_after_an_error() -> None:
    layer = nn.Linear(3, 2)
    insert(layer, Thirds(8), None)
    with pytest.raises(KeyError), quantizers_off(layer):
        raise KeyError
    assert [name for name, _ in fake_quantized(layer)] == ["weight"]
