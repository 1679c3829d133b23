from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.float_weights import FloatWeights
from slimtune.compression.pipeline import Compressed, compress
from slimtune.compression.quantization import Gpfq, Int8Static, Lsq, NoQuantization
from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.errors import TrialError
from slimtune.measurement.runtime import observe_ranges
from slimtune.workload.types import Architecture, Workload


class Rows(nn.Module):
    """Reads an image of 8x8 pixels row by row: nearly all weights are the LSTM's."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 32, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x.squeeze(1))[0][:, -1])


class Pixels(nn.Module):
    """Reads an image of 8x8 pixels as a sequence: nearly all weights are 1-d convolutions'."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 32, 9, padding=4)
        self.second = nn.Conv1d(32, 64, 9, padding=4)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x.flatten(2)))
        return self.head(torch.relu(self.second(x)).mean(2))


def quantized(digits: Workload, network: nn.Module, quantize: Any) -> Compressed:
    """Return what a recipe that only quantizes makes of an untrained network."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    workload = Workload(
        **{
            **vars(digits),
            "architecture": Architecture(type(network).__name__, 10, 1),
            "baseline": network.eval(),
        }
    )
    recipe = Recipe.from_dict({"quantize": quantize, "train": {"epochs": 0}})
    return compress(workload, recipe, Conditions(seed=0), observe=observe_ranges)


def test_the_share_and_the_largest_layers_are_told() -> None:
    left = FloatWeights({"a.weight": 5, "b.weight": 20, "c": 1, "d.weight": 4}, 100)
    assert left.share == pytest.approx(0.3)
    assert left.names == "b, a, d and 1 more"
    assert left.described("lsq 4b") == "lsq 4b (30% float32)"
    assert left.checked(Lsq(), ()) is left


def test_nothing_in_float_says_nothing() -> None:
    assert FloatWeights().share == 0 and FloatWeights().names == ""
    assert FloatWeights({"a": 1}, 1000).described("lsq 4b") == "lsq 4b"


def test_nearly_all_in_float_is_refused_unless_nothing_was_to_be_quantized() -> None:
    left = FloatWeights({"conv1.weight": 95}, 100)
    with pytest.raises(TrialError, match=r"lsq must .* 95% .*\(conv1\); use rtn"):
        left.checked(Lsq(), {"conv1.weight"})
    with pytest.raises(TrialError, match=r"\(conv1\); use float16 or none"):
        left.checked(Int8Static(), ())
    assert left.checked(NoQuantization(), ()).share == 0


@pytest.mark.parametrize("method", ["gpfq", "lsq", "rtn", "int8_static", "int8_dynamic"])
def test_an_lstm_is_not_sent_from_one_quantizer_to_another_that_fails_too(
    digits: Workload, method: str
) -> None:
    quantize = {"method": method, **({"epochs": 0} if method == "lsq" else {})}
    with pytest.raises(TrialError, match=r"9\d% of them .*; use float16 or none$"):
        quantized(digits, Rows(), quantize)


def test_float16_stores_an_lstm_in_half_the_bytes(digits: Workload) -> None:
    half, whole = (quantized(digits, Rows(), method) for method in ("float16", "none"))
    assert half.float_weights.share < 0.1
    assert len(half.onnx) < 0.65 * len(whole.onnx)


def test_where_another_quantizer_rounds_the_weights_it_is_named_and_works(
    digits: Workload,
) -> None:
    with pytest.raises(TrialError, match="gpfq must .*; use rtn or int8_static, which .* float16"):
        quantized(digits, Pixels(), {"method": "gpfq"})
    for method in ("rtn", "int8_static"):
        assert quantized(digits, Pixels(), method).float_weights.share < 0.1


def test_gpfq_rounds_what_it_can() -> None:
    assert FloatWeights({"a": 5}, 100).checked(Gpfq(), ()).share == 0.05
