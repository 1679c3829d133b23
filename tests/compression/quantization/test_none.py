import torch

from slimtune.compression.quantization import NoQuantization
from slimtune.compression.quantization.protocol import QUANTIZATION


def test_every_weight_stays_float() -> None:
    quantizer = NoQuantization()
    assert quantizer.weight("conv1.weight", torch.ones(4, 3, 3, 3)) is None
    assert (quantizer.bits, quantizer.activation_bits) == (32, 32)


def test_the_network_is_trained_as_it_is() -> None:
    model = torch.nn.Linear(2, 2)
    assert NoQuantization().prepare(model) is model


def test_it_is_registered_as_none() -> None:
    assert QUANTIZATION["none"] is NoQuantization
