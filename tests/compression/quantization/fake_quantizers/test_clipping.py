import pytest
import torch

from slimtune.compression.quantization.fake_quantizers.clipping import ClippedInput, uniform_levels


def test_a_uniform_grid_of_n_bits_has_all_values_or_with_a_sign_all_but_one() -> None:
    x = torch.linspace(-2, 2, 10_001)
    for bits in range(2, 9):
        for signed, count in ((False, 2**bits), (True, 2**bits - 1)):
            clip = ClippedInput(1.0, uniform_levels(bits, signed))
            assert len(torch.unique(clip(x))) == count


def test_the_range_is_what_comes_out() -> None:
    x = torch.linspace(-9, 9, 1001)
    for signed in (True, False):
        clip = ClippedInput(3.0, uniform_levels(4, signed))
        low, high = clip.range()
        out = clip(x).detach()
        assert (low, high) == pytest.approx((float(out.min()), float(out.max())))
        assert high == pytest.approx(3.0) and low == pytest.approx(-3.0 if signed else 0.0)


def test_oracle_15_pact_gradient_of_the_limit() -> None:
    clip = ClippedInput(2.0, uniform_levels(2, signed=False), rounds=False)
    result = clip(torch.tensor([-1, 0.4, 1.2, 5]))
    torch.testing.assert_close(result, torch.tensor([0, 2 / 3, 4 / 3, 2]))
    result.sum().backward()
    assert float(clip.limit.grad) == pytest.approx(1.0)  # type: ignore[arg-type]


def test_a_limit_that_is_not_learned_is_no_parameter() -> None:
    clip = ClippedInput(2.0, uniform_levels(4, signed=False), learned=False)
    assert not list(clip.parameters()) and clip.range()[1] == pytest.approx(2.0)


def test_a_limit_pushed_below_0_does_no_harm() -> None:
    clip = ClippedInput(-1.0, uniform_levels(4, signed=False))
    assert torch.isfinite(clip(torch.randn(5))).all() and clip.range()[1] > 0
