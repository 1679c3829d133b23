import numpy as np
import pytest
import torch

from slimtune.compression.quantization.apot import (
    Apot,
    ApotWeight,
    mean_and_deviation,
    signed_levels,
    unsigned_levels,
)
from slimtune.compression.quantization.fake_quantizers.learned import InputStatistics, MaxWeight
from slimtune.compression.recipe import Recipe
from slimtune.errors import ConfigError

LARGEST = {2: 1, 3: 4, 4: 10, 5: 48, 6: 100}


def weights() -> torch.Tensor:
    return torch.randn(32, 16, 3, 3, generator=torch.Generator().manual_seed(0)) * 0.07 + 0.01


@pytest.mark.parametrize("bits", LARGEST)
def test_oracle_12_weights_are_integers_of_int8_with_2_to_the_bits_less_1_values(
    bits: int,
) -> None:
    weight = torch.linspace(-0.3, 0.5, 8 * 500).view(8, 500)
    quantizer = ApotWeight(weight, bits)
    quantizer.alpha.data.fill_(1.0)
    quantized = quantizer(weight).detach()
    in_steps = quantized * LARGEST[bits] / (quantizer.alpha.detach() * quantizer.factor)
    torch.testing.assert_close(in_steps, in_steps.round(), atol=1e-4, rtol=0)
    stored = quantizer.stored(weight)
    assert np.array_equal(stored.integers, in_steps.round().numpy())
    assert len(np.unique(stored.integers)) == 2**bits - 1
    assert abs(stored.integers).max() == LARGEST[bits]


@pytest.mark.parametrize("bits", LARGEST)
def test_oracle_12_inputs_have_2_to_the_bits_values(bits: int) -> None:
    x = torch.linspace(-1, 3, 20_001)
    clip = Apot().input_quantizer(InputStatistics(2.0, 1.0, False, 4), bits)
    assert len(torch.unique(clip(x).detach())) == 2**bits
    assert clip.range() == pytest.approx((0.0, 2.0))


def test_oracle_12_scaling_and_shifting_the_weights_changes_nothing() -> None:
    weight = weights()
    quantizer = ApotWeight(weight, 4)
    same, _ = quantizer.integers(3 * weight - 0.2)
    level, _ = quantizer.integers(weight)
    assert (same == level).float().mean() > 0.999
    torch.testing.assert_close(quantizer(3 * weight - 0.2), quantizer(weight), rtol=0, atol=0.02)


def test_oracle_12_7_and_8_bits_are_refused_with_the_reason() -> None:
    for bits, largest in ((7, 448), (8, 904)):
        rule = rf"quantize.bits: must be 2 to 6, but got {bits}: .*{largest}, which int8 does not"
        with pytest.raises(ConfigError, match=rule):
            Recipe.from_dict({"quantize": {"method": "apot", "bits": bits}})
    with pytest.raises(ConfigError, match="quantize.bits"):
        Recipe.from_dict({"quantize": {"method": "apot", "bits": 1}})


def test_oracle_12_stages_of_7_or_8_bits_and_their_inputs_are_uniform_and_finite() -> None:
    for bits in (7, 8):
        assert isinstance(Apot().weight_quantizer(weights(), bits), MaxWeight)
        clip = Apot().input_quantizer(InputStatistics(2.0, 1.0, False, 4), bits)
        gaps = torch.unique(clip(torch.linspace(0, 2, 9_001)).detach()).diff()
        assert len(gaps) == 2**bits - 1
        torch.testing.assert_close(gaps, torch.full_like(gaps, 2 / (2**bits - 1)))


def test_oracle_13_pruned_weights_stay_0_though_the_mean_is_not() -> None:
    weight = weights() + 0.2
    weight[5], weight[:, 3] = 0, 0
    quantizer = ApotWeight(weight, 4)
    integers = quantizer.stored(weight).integers
    assert not integers[5].any() and not integers[:, 3].any()
    assert quantizer(weight).detach()[5].eq(0).all()


def test_mean_and_deviation_are_of_the_weights_that_are_not_pruned() -> None:
    weight = weights()
    weight[5], weight[:, 3] = 0, 0
    live = weight[weight != 0]
    expected = torch.stack([live.mean(), live.std() + 1e-5])
    torch.testing.assert_close(mean_and_deviation(weight), expected)


def test_a_constant_or_empty_tensor_gives_finite_weights() -> None:
    for weight in (torch.full((2, 3), 0.5), torch.zeros(2, 3)):
        quantizer = ApotWeight(weight, 4)
        quantizer(weight.requires_grad_()).sum().backward()
        assert weight.grad is not None and torch.isfinite(weight.grad).all()
        assert torch.isfinite(quantizer(weight)).all()


def test_held_statistics_outlive_the_weights_they_came_from() -> None:
    weight = weights()
    quantizer = ApotWeight(weight, 4)
    whole, _ = quantizer.integers(weight)
    quantizer.hold(weight)
    quantizer.hold(weight[:, :2])  # what was held before stays
    part, _ = quantizer.integers(weight[:, :8])
    assert torch.equal(part, whole[:, :8])


def test_before_training_weights_keep_their_size_and_the_clip_is_the_best() -> None:
    weight = weights()
    centred = weight - weight.mean()
    for bits, most in ((2, 0.46), (3, 0.25), (4, 0.15), (5, 0.1), (6, 0.06)):
        quantizer = ApotWeight(weight, bits)
        error = float(((quantizer(weight) - centred).std() / weight.std()).detach())
        assert error < most
        others = []
        for factor in (0.8, 1.25):
            other = ApotWeight(weight, bits)
            other.alpha.data.mul_(factor)
            others.append(float(((other(weight) - centred).std() / weight.std()).detach()))
        assert error <= min(others)


def test_levels_with_a_sign_have_one_bit_less() -> None:
    assert signed_levels(2).high == 1 and signed_levels(4).high == 10
    assert unsigned_levels(4).high == 48 and unsigned_levels(4).low == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_levels_lie_where_the_weight_does() -> None:
    weight = weights().cuda()
    quantizer = ApotWeight(weight, 4).to(weight.device)
    torch.testing.assert_close(quantizer(weight).cpu(), ApotWeight(weights(), 4)(weights()))
