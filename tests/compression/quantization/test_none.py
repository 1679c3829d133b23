import torch

from slimtune.compression.quantization import NoQuantization
from slimtune.compression.quantization.protocol import QUANTIZATION


def test_every_weight_stays_float() -> None:
    quantizer = NoQuantization()
    assert quantizer.weights(torch.nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 8, 8)) == {}
    assert (quantizer.bits, quantizer.activations) == (32, "float")


def test_the_network_is_trained_as_it_is() -> None:
    model = torch.nn.Linear(2, 2)
    assert NoQuantization().prepare(model, torch.zeros(2, 2)) is model


def test_it_is_registered_as_none() -> None:
    assert QUANTIZATION["none"] is NoQuantization
