import pytest
import torch
from pydantic import ValidationError
from torch import nn

from slimtune.compression.network.layers import weight_layers
from slimtune.compression.quantization.gpfq import Gpfq
from slimtune.compression.quantization.rounding.layer_bits import layer_bits
from slimtune.compression.quantization.rtn import RoundToNearest


def network() -> nn.Module:
    """Five layers: two on level 0, one each on levels 1 and 2, and the classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Flatten(),
        nn.Linear(16, 2),
    )


def bits(general: int, ends: int, levels: str) -> list[int]:
    layers = weight_layers(network(), torch.zeros(2, 3, 8, 8))
    found = layer_bits(layers, general, ends, levels)
    assert list(found) == [layer.weight_name for layer in layers]
    return list(found.values())


def test_first_and_last_layer_have_bits_of_their_own() -> None:
    assert bits(4, 8, "") == [8, 4, 4, 4, 8]
    assert bits(4, 4, "") == [4, 4, 4, 4, 4]


def test_each_level_has_its_bits_and_the_last_holds_for_later_levels() -> None:
    assert bits(5, 8, "6-4-2") == [8, 6, 4, 2, 8]
    assert bits(5, 8, "6-3") == [8, 6, 3, 3, 8]
    assert bits(5, 8, "2") == [8, 2, 2, 2, 8]
    assert bits(5, 8, "7-6-5-4-3-2") == [8, 7, 6, 5, 8]


@pytest.mark.parametrize("method", [Gpfq, RoundToNearest])
@pytest.mark.parametrize("text", ["1", "9", "8-", "-8", "8,4", "16", "8--4", "8 4", "4\n", "x"])
def test_bits_by_level_are_numbers_from_2_to_8_joined_by_dashes(method: type, text: str) -> None:
    with pytest.raises(ValidationError, match="stage_bits"):
        method(stage_bits=text)


@pytest.mark.parametrize("method", [Gpfq, RoundToNearest])
@pytest.mark.parametrize(
    "wrong",
    [
        {"bits": 1},
        {"bits": 9},
        {"first_last_bits": 1},
        {"first_last_bits": 16},
        {"activation_bits": 4},
        {"granularity": "row"},
        {"calibration_images": 15},
    ],
)
def test_what_a_method_does_not_have_is_refused(method: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        method(**wrong)
