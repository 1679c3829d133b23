import numpy as np
import pytest
import torch
from pydantic import ValidationError

from slimtune.compression.quantization import Int8Static
from slimtune.compression.quantization.protocol import QUANTIZATION


def test_weights_agree_with_torchs_own_fake_quantizer() -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 8, 3)
    stored = Int8Static().weights(conv, torch.zeros(2, 4, 8, 8))["weight"]
    weight = conv.weight.detach()
    scale = torch.from_numpy(stored.scale)
    zeros = torch.zeros(8, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -127, 127)
    integers = (expected / scale.reshape(-1, 1, 1, 1)).round().numpy()
    # Torch multiplies by 1/scale, so a weight beside a tie may fall on the other side of it.
    difference = np.abs(integers - stored.integers)
    assert difference.max() <= 1 and (difference != 0).mean() < 0.01
    assert stored.scale == pytest.approx(weight.abs().amax(dim=(1, 2, 3)).numpy() / 127)


def test_weights_take_8_bits_and_activations_are_on_fixed_grids() -> None:
    assert (Int8Static().bits, Int8Static().activations) == (8, "static")


def test_the_network_is_trained_as_it_is() -> None:
    model = torch.nn.Linear(2, 2)
    assert Int8Static().prepare(model, torch.zeros(2, 2)) is model


@pytest.mark.parametrize("images", [15, 4097])
def test_the_number_of_calibration_images_has_a_range(images: int) -> None:
    with pytest.raises(ValidationError, match="calibration_images"):
        Int8Static(calibration_images=images)


def test_it_is_registered_as_int8_static() -> None:
    assert QUANTIZATION["int8_static"] is Int8Static
