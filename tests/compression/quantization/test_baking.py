import numpy as np
import torch
from torch import nn

from slimtune.compression.quantization.baking import bake, halved
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
