import numpy as np
import torch
from torch import nn

from slimtune.compression.quantization.int8_dynamic import Int8Dynamic
from slimtune.compression.quantization.int8_static import Int8Static
from slimtune.compression.quantization.protocol import QUANTIZATION


def test_weights_are_those_of_static_int8() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    images = torch.randn(2, 3, 4, 4)
    dynamic, static = (method.weights(model, images) for method in (Int8Dynamic(), Int8Static()))
    assert list(dynamic) == list(static) == ["0.weight", "2.weight"]
    for name, weight in dynamic.items():
        assert weight.bits == 8 and np.array_equal(weight.integers, static[name].integers)
        assert np.array_equal(weight.scale, static[name].scale)


def test_grids_of_activations_are_found_at_run_time_without_calibration() -> None:
    method = Int8Dynamic()
    assert (method.activations, method.calibration_images, method.bits) == ("dynamic", 0, 8)
    assert not method.trains


def test_it_is_registered_as_int8_dynamic() -> None:
    assert QUANTIZATION["int8_dynamic"] is Int8Dynamic
