import pytest
import torch

from slimtune.compression.quantization.dorefa import DoReFaWeight
from slimtune.compression.quantization.fake_quantizers.learned import InputStatistics
from slimtune.compression.quantization.pact import Pact


def test_oracle_15_pact_inputs() -> None:
    clip = Pact().input_quantizer(InputStatistics(2.0, 1.0, False, 4), 2)
    result = clip(torch.tensor([-1, 0.4, 1.2, 5]))
    torch.testing.assert_close(result, torch.tensor([0, 2 / 3, 4 / 3, 2]))
    result.sum().backward()
    (limit,) = clip.parameters()
    assert float(limit.grad) == pytest.approx(1.0)  # type: ignore[arg-type]


def test_weights_are_dorefas() -> None:
    assert isinstance(Pact().weight_quantizer(torch.ones(2, 2), 4), DoReFaWeight)
