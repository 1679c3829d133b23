from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.network.copies import cloned
from slimtune.compression.quantization import Gpfq, Lsq
from slimtune.compression.quantization.fake_quantizers.baking import as_in_file, bake
from slimtune.compression.quantization.fake_quantizers.layers import fake_quantized, strip
from slimtune.compression.quantization.fake_quantizers.own_forward import (
    has_own_forward,
    held_weights,
    hold_weights,
    kernel_of,
    prepared,
    set_held_weights,
)

IMAGES = torch.randn(24, 3, 9, 8, generator=torch.Generator().manual_seed(0))


class Standardised(nn.Conv2d):
    """Computes its weight, as networks with weight standardisation do."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, groups=self.groups)


class PadsItself(nn.Conv2d):
    """Uses its weight as it is, on an input that it pads."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(F.pad(x, (0, 1, 2, 1)))


class ByInput(nn.Conv2d):
    """Its weight depends on the images."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * x.mean(), self.bias, padding=self.padding)


class Twice(nn.Linear):
    """Uses its weight in two products."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + F.linear(x.abs(), self.weight)


class Adapted(nn.Linear):
    """One product with its weight, and two with small ones."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.down, self.up = nn.Linear(inputs, 2, bias=False), nn.Linear(2, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.up(self.down(x))


def network(conv: Callable[..., nn.Module], linear: Callable[..., nn.Module] = nn.Linear) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        conv(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        conv(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        linear(12, 5),
    ).eval()


def test_the_kernel_call_is_what_the_layer_computes_and_pads() -> None:
    layer = Standardised(3, 6, 3, stride=2, padding=1).eval()
    kernel = kernel_of(layer, IMAGES)
    assert kernel is not None
    torch.testing.assert_close(kernel.weight.mean((1, 2, 3)), torch.zeros(6), atol=1e-6, rtol=0)
    plain: Any = kernel.as_layer()
    assert (plain.stride, plain.padding) == ((2, 2), (1, 1))
    padded = kernel_of(PadsItself(3, 6, 3).eval(), IMAGES)
    assert padded is not None and padded.value.shape == (24, 3, 12, 9)
    assert padded.output_shape == (24, 6, 10, 7)


@pytest.mark.parametrize("layer", [ByInput(3, 6, 3), Twice(8, 4)])
def test_a_weight_that_depends_on_the_images_or_is_used_twice_has_no_kernel_call(
    layer: nn.Module,
) -> None:
    assert has_own_forward(layer)
    assert kernel_of(layer.eval(), IMAGES) is None


def test_usual_layers_have_no_forward_of_their_own() -> None:
    usual = nn.Conv2d(3, 4, 1), nn.Linear(3, 4), nn.Conv1d(3, 4, 1), nn.BatchNorm2d(3)
    assert not any(map(has_own_forward, usual))


def test_a_held_weight_computes_the_same_and_a_name_brings_it_back() -> None:
    model = network(Standardised)
    exact = model(IMAGES)
    held = hold_weights(cloned(model), IMAGES[:2])
    torch.testing.assert_close(held(IMAGES), exact)
    assert held_weights(held) == ["0", "3"] and held_weights(model) == []
    again = network(Standardised)
    again.load_state_dict(held.state_dict())
    assert not torch.allclose(again(IMAGES), exact)
    assert torch.equal(set_held_weights(again, ["0", "3"])(IMAGES), held(IMAGES))
    with pytest.raises(ValueError, match="held_weights: '1'"):
        set_held_weights(network(Standardised), ["1"])
    assert held_weights(hold_weights(network(PadsItself), IMAGES[:2])) == []


@pytest.mark.parametrize("conv", [Standardised, PadsItself])
def test_fake_quantizers_act_at_the_kernel_and_leave_with_the_class(
    conv: type[nn.Conv2d],
) -> None:
    quantizer = Lsq(bits=8)
    model = prepared(quantizer, network(conv), IMAGES)
    kinds = [type(layer).__name__ for _, layer in fake_quantized(model)]
    assert len(kinds) == 3 and kinds[0].startswith("FakeQuantOwn")
    stored = quantizer.weights(model.eval(), IMAGES)
    computed, plain = as_in_file(model, stored), bake(model, stored)
    assert isinstance(plain[0], conv) and not fake_quantized(plain)  # type: ignore[index]
    noise = (computed(IMAGES) - plain(IMAGES)).std() / plain(IMAGES).std()
    assert noise < 0.1  # rounded inputs, and nothing else
    model(IMAGES).sum().backward()
    assert all(layer.weight.grad is not None for _, layer in fake_quantized(model))
    assert isinstance(strip(model)[0], conv)  # type: ignore[index]


@pytest.mark.parametrize("method", [Lsq(bits=4), Gpfq(bits=4, patches=64)])
def test_what_no_single_kernel_call_explains_is_left_float(method: Any) -> None:
    model = prepared(method, network(ByInput, Twice), IMAGES)
    assert method.weights(model.eval(), IMAGES) == {}
    model = prepared(method, network(PadsItself, Adapted), IMAGES)
    names = {"0.weight", "3.weight", "7.weight", "7.down.weight", "7.up.weight"}
    assert method.weights(model.eval(), IMAGES).keys() == names


def test_gpfq_follows_the_path_of_a_layer_that_pads_itself() -> None:
    """Its integers are those of the usual layer that does the same on a padded image."""
    own, usual, end = PadsItself(3, 6, 3), nn.Conv2d(3, 6, 3), nn.Linear(6 * 70, 2)
    usual.load_state_dict(own.state_dict())
    padded = nn.Sequential(nn.ZeroPad2d((0, 1, 2, 1)), usual)
    method = Gpfq(bits=3, first_last_bits=3, patches=100_000)
    found = method.weights(nn.Sequential(own, nn.Flatten(), end).eval(), IMAGES)
    wanted = method.weights(nn.Sequential(padded, nn.Flatten(), end).eval(), IMAGES)
    assert (found["0.weight"].integers == wanted["0.1.weight"].integers).all()
