import torch
from torch import nn

from slimtune.compression.quantization.float16 import Float16
from slimtune.compression.quantization.protocol import QUANTIZATION


def test_weights_take_16_bits_and_none_is_an_integer() -> None:
    method, model = Float16(), nn.Conv2d(3, 4, 3)
    assert method.bits == 16 and method.activations == "float"
    assert method.weights(model, torch.zeros(2, 3, 8, 8)) == {}
    assert method.prepare(model, torch.zeros(2, 3, 8, 8)) is model
    assert not method.trains and method.calibration_images == 0


def test_it_is_registered_as_float16() -> None:
    assert QUANTIZATION["float16"] is Float16
