import numpy as np
import pytest
import torch

from slimtune.compression.quantization.dorefa import DoReFa, DoReFaWeight
from slimtune.compression.quantization.fake_quantizers.learned import InputStatistics, MaxWeight
from slimtune.compression.recipe import Recipe
from slimtune.errors import ConfigError


def test_oracle_15_dorefa_weights() -> None:
    weight = torch.tensor([[-1.0, -0.2, 0.1, 0.5]])
    quantizer = DoReFaWeight(weight, 2)
    expected = torch.tensor([[-1, -1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(quantizer(weight) / quantizer.factor, expected)
    assert float(quantizer.factor) == pytest.approx(np.tanh(1.0))
    assert quantizer.stored(weight).integers.tolist() == [[-3, -1, 1, 1]]


@pytest.mark.parametrize("bits", range(2, 8))
def test_integers_are_odd_and_fit_int8(bits: int) -> None:
    weight = torch.linspace(-0.4, 0.4, 20 * 500).view(20, 500)
    integers = DoReFaWeight(weight, bits).stored(weight).integers
    assert (integers % 2 == 1).all() and len(np.unique(integers)) == 2**bits
    assert integers.max() == 2**bits - 1 == -integers.min()


@pytest.mark.parametrize("bits", range(2, 8))
def test_a_layer_with_pruned_weights_has_a_0_and_still_fits_its_bits(bits: int) -> None:
    weight = torch.cat([torch.linspace(-0.4, 0.4, 20 * 500), torch.zeros(500)]).view(21, 500)
    quantizer = DoReFaWeight(weight, bits)
    stored = quantizer.stored(weight)
    largest = 2 ** (bits - 1) - 1
    assert np.unique(stored.integers).tolist() == list(range(-largest, largest + 1))
    expected = torch.from_numpy(stored.dequantized())
    torch.testing.assert_close(quantizer(weight), expected, rtol=1e-5, atol=1e-7)


def test_gradients_go_through_tanh() -> None:
    weight = torch.tensor([[0.3, -0.4, 2.0]], requires_grad=True)
    quantizer = DoReFaWeight(weight, 3)
    quantizer(weight)[0, :2].sum().backward()
    assert weight.grad is not None
    slope = 1 - torch.tanh(weight.detach()) ** 2
    # factor / max|tanh w| is 1 before training
    torch.testing.assert_close(weight.grad[0, :2], slope[0, :2])


@pytest.mark.parametrize("method", ["dorefa", "pact"])
def test_8_bits_are_refused_with_the_reason(method: str) -> None:
    with pytest.raises(ConfigError, match=r"quantize.bits: must be 2 to 7, but got 8: .*int8"):
        Recipe.from_dict({"quantize": {"method": method, "bits": 8}})


def test_a_stage_of_8_bits_is_symmetric_and_inputs_are_clipped_at_a_constant() -> None:
    method = DoReFa()
    assert isinstance(method.weight_quantizer(torch.ones(2, 2), 8), MaxWeight)
    clip = method.input_quantizer(InputStatistics(2.0, 1.0, False, 4), 4)
    assert not list(clip.parameters()) and clip.range() == pytest.approx((0.0, 2.0))
