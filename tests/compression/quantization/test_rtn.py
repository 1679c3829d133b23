import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.quantization.protocol import QUANTIZATION
from slimtune.compression.quantization.rtn import RoundToNearest


def network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=2), nn.Flatten(), nn.Linear(96, 2)
    )
    return model.eval(), torch.randn(2, 3, 8, 8)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_weights_agree_with_torchs_own_fake_quantizer(bits: int) -> None:
    model, images = network()
    stored = RoundToNearest(bits=bits, first_last_bits=bits).weights(model, images)
    assert list(stored) == ["0.weight", "2.weight", "4.weight"]
    largest = 2 ** (bits - 1) - 1
    for name, weight in stored.items():
        scale, zeros = torch.from_numpy(weight.scale), torch.zeros(len(weight.scale))
        float_weight = model.get_parameter(name)
        expected = torch.fake_quantize_per_channel_affine(
            float_weight, scale, zeros.to(torch.int32), 0, -largest, largest
        )
        steps = (expected / scale.reshape(-1, *[1] * (expected.ndim - 1))).round()
        # Torch multiplies by 1/scale, so a weight beside a tie may fall on the other side of it.
        difference = np.abs(steps.detach().numpy() - weight.integers)
        assert difference.max() <= 1 and (difference != 0).mean() < 0.01


def test_first_and_last_layer_have_8_bits_and_the_others_4() -> None:
    stored = RoundToNearest().weights(*network())
    assert [weight.bits for weight in stored.values()] == [8, 4, 8]


def test_one_scale_a_layer_is_the_mean_of_the_maxima_over_k() -> None:
    model, images = network()
    stored = RoundToNearest(granularity="tensor").weights(model, images)["2.weight"]
    maxima = model.get_parameter("2.weight").detach().abs().flatten(1).amax(1)
    assert stored.scale == pytest.approx([float(maxima.mean()) / 7] * 6)
    assert np.abs(stored.integers).max() == 7  # the largest filters are clipped


def test_pruned_weights_stay_zero_and_the_network_is_left_alone() -> None:
    model, images = network()
    weight = model.get_parameter("2.weight")
    with torch.no_grad():
        weight[:, 0] = 0
        weight[4] = 0
    before = weight.clone()
    stored = RoundToNearest(bits=2).weights(model, images)["2.weight"]
    assert not stored.integers[:, 0].any() and not stored.integers[4].any()
    assert torch.equal(weight, before)


def test_activations_are_uint8_or_float() -> None:
    assert RoundToNearest().activations == "static"
    assert RoundToNearest(activation_bits=32).activations == "float"


def test_it_is_registered_as_rtn() -> None:
    assert QUANTIZATION["rtn"] is RoundToNearest
