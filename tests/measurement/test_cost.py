"""Numbers of He et al.'s CIFAR networks, from reference/algorithms.md 1.1 to 1.3."""

import copy

import pytest
import torch
from torch import nn

from slimtune.measurement.cost import count_cost
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.zoo.cifar_resnet import CifarResNet

SHAPE = (3, 32, 32)


def resnet(depth: int = 20) -> CifarResNet:
    return CifarResNet(10, 3, depth=depth)


@pytest.mark.parametrize(
    ("depth", "params", "macs"),
    [(20, 269_722, 40_551_040), (56, 853_018, 125_485_696)],
)
def test_params_and_macs_of_resnets_are_the_published_ones(
    depth: int, params: int, macs: int
) -> None:
    cost = count_cost(resnet(depth), SHAPE)
    assert (cost.params, cost.macs) == (params, macs)


def test_bit_operations_of_resnet20() -> None:
    model = resnet()
    float_bops = count_cost(model, SHAPE).bops
    assert float_bops == 41_524_264_960
    assert count_cost(model, SHAPE, weight_bits=4, activation_bits=4).bops == 648_816_640
    ends = count_cost(model, SHAPE, weight_bits=4, activation_bits=4, first_last_bits=8).bops
    assert float_bops / ends == pytest.approx(61.969, abs=5e-4)


@pytest.mark.parametrize(
    ("bits", "packed"), [(8, 279_544), (4, 145_912), (3, 112_504), (2, 79_096)]
)
def test_packed_bytes_of_resnet20(bits: int, packed: int) -> None:
    cost = count_cost(resnet(), SHAPE, weight_bits=bits, activation_bits=bits, first_last_bits=8)
    assert cost.packed_bytes == packed


def test_packed_bytes_of_a_float_resnet20_have_no_scales() -> None:
    assert count_cost(resnet(), SHAPE).packed_bytes == 1_084_392


def test_frozen_selections_cost_nothing() -> None:
    padded = resnet()
    selected = materialize_shortcuts(copy.deepcopy(padded))
    assert count_cost(selected, SHAPE) == count_cost(padded, SHAPE)


def test_uint8_images_make_the_first_layer_cheaper() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(16, 2))
    macs = 4 * 2 * 2 * 27, 32
    assert count_cost(model, (3, 4, 4)).bops == sum(macs) * 32 * 32
    cheaper = count_cost(model, (3, 4, 4), input_bits=8).bops
    assert cheaper == macs[0] * 32 * 8 + macs[1] * 32 * 32


def test_groups_divide_the_macs() -> None:
    assert count_cost(nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 5, 5)).macs == 25 * 8 * 9


def test_a_layer_that_runs_twice_counts_its_macs_twice_and_its_weights_once() -> None:
    layer = nn.Conv2d(3, 3, 1, bias=False)
    cost = count_cost(nn.Sequential(layer, layer), (3, 4, 4))
    assert (cost.params, cost.macs) == (9, 2 * 9 * 16)


def test_zeros_are_counted_and_packed_as_a_bitmap() -> None:
    """Reference 1.3: a bitmap of 1 bit a weight pays below a density of 1 - 1/b."""
    model = nn.Sequential(nn.Conv2d(4, 16, 1), nn.Flatten(), nn.Linear(16, 10, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.fill_(2.0)
        model[2].weight.fill_(1.0)
        model[2].weight[:, :12] = 0.0  # 40 of 160 stay
    cost = count_cost(model, (4, 1, 1), weight_bits=4)
    assert (cost.params, cost.nonzero) == (64 + 16 + 160, 64 + 16 + 40)
    assert cost.sparsity == 120 / 224
    bits = 64 * 4 + 16 * 32 + (160 + 40 * 4) + 2 * 32
    assert cost.packed_bytes == bits / 8
    with torch.no_grad():
        model[0].weight.view(-1)[:16] = 0.0  # density 0.75 = 1 - 1/4: both take the same
    assert count_cost(model, (4, 1, 1), weight_bits=4).packed_bytes == bits / 8


def test_counting_leaves_the_network_as_it_was() -> None:
    model = resnet(8).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_cost(model, SHAPE)
    assert model.training and not model.conv1._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
