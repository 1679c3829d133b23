import numpy as np
import pytest
import torch
from torch import nn

from slimtune.compression.quantization.fake_quantizers.baking import as_in_file, bake, halved
from slimtune.compression.quantization.lsq import Lsq
from slimtune.compression.quantization.protocol import StoredWeight


def test_a_baked_network_has_the_stored_weights_and_all_else_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    images = torch.randn(4, 3, 6, 6)
    model(images)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    integers = np.arange(-54, 54, dtype=np.int8).reshape(4, 3, 3, 3)
    scale = np.array([1, 2, 3, 4], np.float32)
    model = Lsq().prepare(model, images)  # type: ignore[assignment]
    prepared = [type(module) for module in model.modules()]
    baked = bake(model, {"0.weight": StoredWeight(integers, scale, 8)})
    after = baked.state_dict()
    assert after.keys() == before.keys() and not baked.training
    for name in before.keys() - {"0.weight"}:
        assert torch.equal(after[name], before[name]), name
    expected = scale[:, None, None, None] * integers
    np.testing.assert_array_equal(after["0.weight"].numpy(), expected)
    assert [type(module) for module in model.modules()] == prepared


def test_halved_weights_are_half_precision_numbers_and_biases_stay() -> None:
    torch.manual_seed(0)
    model = nn.Linear(50, 20)
    with torch.no_grad():
        model.weight[0, 0] = -1e6
    rounded = halved(model)
    assert torch.equal(rounded.weight, rounded.weight.half().float())
    assert rounded.weight[0, 0] == -65504 and model.weight[0, 0] == -1e6
    error = (rounded.weight - model.weight)[1:].abs()
    assert (error <= 2**-11 * model.weight[1:].abs() + 2**-25).all()
    assert torch.equal(rounded.bias, model.bias)
    assert rounded.weight.dtype == torch.float32


def test_as_in_the_file_inputs_are_clipped_to_what_was_learned_and_rounded_to_8_bits() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())
    model.append(nn.Linear(16, 2))
    images = torch.randn(8, 3, 6, 6)
    quantizer = Lsq(bits=8, activation_bits=2)
    model = quantizer.prepare(model, images)  # type: ignore[assignment]
    stored = quantizer.weights(model, images)
    high = quantizer.ranges(model)["2.weight"][1]
    read = torch.relu(bake(model, stored)[0](images))  # type: ignore[index]
    assert float(read.detach().max()) > high  # two bits clip
    rounded = (read.clamp(max=high) * (255 / high)).round() * (high / 255)
    expected = bake(model, stored)[2](rounded)  # type: ignore[index]
    computed = as_in_file(model, stored)
    torch.testing.assert_close(computed[:3](images), expected)  # type: ignore[index]
    for name, learned in quantizer.ranges(model).items():
        assert quantizer.ranges(computed)[name] == pytest.approx(learned)


def test_without_fake_quantizers_the_file_computes_with_the_stored_weights() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    stored = {"1.weight": StoredWeight(np.ones((4, 12), np.int8), np.ones(4, np.float32), 8)}
    assert torch.equal(as_in_file(model, stored)[1].weight, torch.ones(4, 12))  # type: ignore
    assert not torch.equal(model[1].weight, torch.ones(4, 12))
