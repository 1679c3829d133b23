import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from slimtune.compression.network.layers import weight_layers
from slimtune.compression.quantization.fake_quantizers.baking import bake
from slimtune.compression.quantization.gpfq import Gpfq
from slimtune.compression.quantization.protocol import QUANTIZATION
from slimtune.compression.quantization.rtn import RoundToNearest

EVERY_PATCH = 1_000_000


class Branched(nn.Module):
    """Grouped, depthwise and strided layers, and a shortcut registered behind its consumer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, stride=2, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.consumer = nn.Conv2d(8, 6, 1)
        self.shortcut = nn.Conv2d(8, 8, 1, stride=2)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        y = self.depthwise(F.relu(self.grouped(x)))
        z = self.consumer(F.relu(y + self.shortcut(x)))
        logits: Tensor = self.fc(self.dropout(F.relu(z)).mean((2, 3)))
        return logits


def network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = Branched()
    with torch.no_grad():  # batch-norm statistics that are not 0 and 1
        model(torch.randn(16, 3, 8, 8))
    return model.eval(), torch.randn(12, 3, 8, 8)


def input_of(model: nn.Module, name: str, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    layer = model.get_submodule(name)
    hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model(images)
    hook.remove()
    return seen[0].double()


def rows(layer: nn.Module, x: Tensor) -> Tensor:
    """What each group multiplies its weights with, (groups, rows, d), by torch's unfold."""
    if not isinstance(layer, nn.Conv2d):
        return x[None]
    assert not isinstance(layer.padding, str)
    columns = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    flat = columns.transpose(1, 2).reshape(-1, layer.groups, columns.shape[1] // layer.groups)
    return flat.transpose(0, 1)


def streaming(w: Tensor, x: Tensor, behind: Tensor, step: float, largest: int) -> list[float]:
    """The paper's recursion for one neuron."""
    u, chosen = torch.zeros(len(x), dtype=torch.float64), []
    for t in range(len(w)):
        u = u + w[t] * x[:, t]
        length = behind[:, t] @ behind[:, t]
        value = (behind[:, t] @ u / length / step).round() if length > 0 else length
        chosen.append(float(value.clamp(-largest, largest)))
        u = u - step * chosen[-1] * behind[:, t]
    return chosen


def layer_by_layer(model: nn.Module, images: Tensor, c: float, largest: int) -> dict[str, Tensor]:
    """GPFQ as the paper tells it: two full networks, one layer after the other."""
    quantized, found = copy.deepcopy(model), {}
    for layer in weight_layers(model, images[:2]):
        weight = layer.weight.detach().double()
        x = rows(layer.module, input_of(model, layer.name, images))
        behind = rows(layer.module, input_of(quantized, layer.name, images))
        per_group = len(weight) // len(x)
        steps = [float(np.float32(c * float(w.abs().max()) / largest)) for w in weight]
        integers = torch.tensor(
            [
                streaming(w.reshape(-1), x[i // per_group], behind[i // per_group], step, largest)
                for i, (w, step) in enumerate(zip(weight, steps, strict=True))
            ]
        ).reshape(weight.shape)
        found[layer.weight_name] = integers
        scale = torch.tensor(steps).reshape(-1, *[1] * (weight.ndim - 1))
        with torch.no_grad():
            quantized.get_submodule(layer.name).get_parameter("weight").copy_(integers * scale)
    return found


@pytest.mark.parametrize(("bits", "c"), [(4, 0.9), (3, 1.1)])
def test_one_pass_over_doubled_images_equals_two_networks_layer_by_layer(
    bits: int, c: float
) -> None:
    model, images = network()
    method = Gpfq(bits=bits, first_last_bits=bits, c=c, patches=EVERY_PATCH, order="as_stored")
    stored = method.weights(model, images)
    expected = layer_by_layer(model, images, c, 2 ** (bits - 1) - 1)
    assert list(stored) == list(expected)  # the shortcut before its consumer
    for name, weight in stored.items():
        difference = np.abs(weight.integers - expected[name].numpy())
        # The two sum their float32 inputs in another order: a near tie may fall differently.
        assert (difference != 0).mean() < 0.01, name


def test_the_output_stays_nearer_than_with_rounding() -> None:
    model, images = network()
    fresh = torch.randn(200, 3, 8, 8)
    with torch.no_grad():
        wanted = model(fresh)
        errors = [
            (bake(model, method.weights(model, images))(fresh) - wanted).norm()
            for method in (
                Gpfq(bits=3, first_last_bits=3, c=1.0, patches=EVERY_PATCH),
                RoundToNearest(bits=3, first_last_bits=3),
            )
        ]
    assert errors[0] < 0.8 * errors[1]


def test_the_same_network_gives_the_same_integers_whatever_the_seed_and_is_left_alone() -> None:
    model, images = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    method = Gpfq(patches=64)
    torch.manual_seed(1)
    first = method.weights(model, images)
    torch.manual_seed(2)
    drawn = torch.get_rng_state()
    second = method.weights(model.train(), images)
    assert torch.equal(torch.get_rng_state(), drawn)
    for name in first:
        assert np.array_equal(first[name].integers, second[name].integers)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_pruned_weights_stay_zero_and_the_others_correct_for_it() -> None:
    model, images = network()
    weight = model.get_parameter("consumer.weight")
    with torch.no_grad():
        weight[:, ::2] = 0
        weight[3] = 0
    stored = Gpfq(bits=3).weights(model, images)["consumer.weight"]
    assert not stored.integers[:, ::2].any() and not stored.integers[3].any()
    assert stored.integers[0].any() and (stored.scale > 0).all()


def test_one_scale_a_layer_and_bits_by_layer() -> None:
    model, images = network()
    stored = Gpfq(bits=3, granularity="tensor").weights(model, images)
    assert {name: weight.bits for name, weight in stored.items()} == {
        "stem.weight": 8,
        "grouped.weight": 3,
        "depthwise.weight": 3,
        "shortcut.weight": 3,
        "consumer.weight": 3,
        "fc.weight": 8,
    }
    for name, weight in stored.items():
        assert len(set(weight.scale.tolist())) == 1 and weight.scale.dtype == np.float32
        largest = 2 ** (weight.bits - 1) - 1
        maxima = model.get_parameter(name).detach().abs().flatten(1).amax(1)
        assert weight.scale[0] == pytest.approx(0.9 * float(maxima.mean()) / largest)
        assert weight.integers.dtype == np.int8 and np.abs(weight.integers).max() <= largest


def test_a_layer_that_is_called_twice_is_quantized_once() -> None:
    torch.manual_seed(0)
    shared = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Flatten(), nn.Linear(48, 2)).eval()
    stored = Gpfq().weights(model, torch.randn(8, 3, 4, 4))
    assert list(stored) == ["0.weight", "4.weight"]


def test_activations_are_uint8_or_float() -> None:
    assert Gpfq().activations == "static" and Gpfq(activation_bits=32).activations == "float"


@pytest.mark.parametrize("wrong", [{"c": 0.05}, {"c": 4.1}, {"patches": 63}])
def test_settings_have_ranges(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Gpfq(**wrong)


def test_it_is_registered_as_gpfq() -> None:
    assert QUANTIZATION["gpfq"] is Gpfq


class Attention(nn.Module):
    """A convolution along the channels, as ECA has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = x.mean((2, 3))[:, None]
        return x * self.conv(pooled)[:, 0, :, None, None].sigmoid()


def test_a_1d_convolution_is_left_float_and_the_others_go_on() -> None:
    layers = nn.Conv2d(3, 8, 3), Attention(), nn.Conv2d(8, 4, 3), nn.Flatten()
    network = nn.Sequential(*layers, nn.Linear(4 * 16, 2)).eval()
    images = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for method in (Gpfq(bits=4, patches=64), Gpfq(bits=4, patches=64).quick()):
        assert method.weights(network, images).keys() == {"0.weight", "2.weight", "4.weight"}
