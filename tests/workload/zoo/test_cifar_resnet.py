import io
import warnings

import onnx
import pytest
import torch
from torch import nn

from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

# algorithms.md 1.1: (parameters, conv + linear weights, MACs of conv + linear, BN channels)
CONSTANTS = {
    "resnet20": (269_722, 268_336, 40_551_040, 688),
    "resnet32": (464_154, 461_872, 68_862_592, 1_136),
    "resnet44": (658_586, 655_408, 97_174_144, 1_584),
    "resnet56": (853_018, 848_944, 125_485_696, 2_032),
    "resnet110": (1_727_962, 1_719_856, 252_887_680, 4_048),
}


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def macs(model, x):
    total = 0

    def count(layer, _, output):
        nonlocal total
        per_output = layer.weight[0].numel()
        total += per_output * output[0].numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(x)
    return total


@pytest.mark.parametrize("name", CONSTANTS)
def test_sizes_are_those_of_the_published_networks(name):
    model = build(Architecture(name, 10, 3))
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert (
        parameters(model),
        sum(layer.weight.numel() for layer in layers),
        macs(model, torch.zeros(1, 3, 32, 32)),
        sum(norm.num_features for norm in norms),
    ) == CONSTANTS[name]


def test_option_b_has_the_published_number_of_parameters():
    assert parameters(build(Architecture("resnet20b", 10, 3))) == 272_474


@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_a_head_of_100_classes_adds_90_rows(name):
    grown = parameters(build(Architecture(name, 100, 3)))
    assert grown == CONSTANTS[name][0] + 90 * 65


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("resnet8", (16, 16, 32, 64)),
        ("resnet8x2", (32, 32, 64, 128)),
        ("resnet8x4", (64, 64, 128, 256)),
        ("resnet32x4", (64, 64, 128, 256)),
    ],
)
def test_a_widened_network_multiplies_every_width(name, widths):
    model = build(Architecture(name, 10, 3))
    stages = (model.conv1, *(s[-1].conv2 for s in (model.layer1, model.layer2, model.layer3)))
    assert tuple(conv.out_channels for conv in stages) == widths
    assert model.linear.in_features == widths[-1]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 17, 30), (4, 1, 1)])
@pytest.mark.parametrize("name", ["resnet8", "resnet8b"])
def test_images_of_any_size_and_channels_give_logits(name, shape):
    model = build(Architecture(name, 5, shape[0])).eval()
    assert model(torch.zeros(2, *shape)).shape == (2, 5)


def test_parameters_are_named_as_in_the_third_party_checkpoints():
    names = set(build(Architecture("resnet8", 10, 3)).state_dict())
    for block in ("layer1.0", "layer2.0", "layer3.0"):
        assert {f"{block}.conv1.weight", f"{block}.bn2.running_var"} <= names
    assert {"conv1.weight", "bn1.bias", "linear.weight", "linear.bias"} <= names
    assert not any("shortcut" in name for name in names)


def test_weights_start_with_the_deviation_of_he():
    torch.manual_seed(0)
    model = build(Architecture("resnet32x4", 10, 3))
    weight = model.layer3[1].conv1.weight  # 256 * 9 inputs, 589,824 values
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)


def test_the_same_seed_builds_the_same_network():
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build(Architecture("resnet8", 10, 3)).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_pool_becomes_one_global_average_pool_in_onnx():
    file, x = io.BytesIO(), torch.zeros(2, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated, and fast
        torch.onnx.export(build(Architecture("resnet8", 10, 3)).eval(), (x,), file, dynamo=False)
    operators = [node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node]
    assert operators.count("GlobalAveragePool") == 1
