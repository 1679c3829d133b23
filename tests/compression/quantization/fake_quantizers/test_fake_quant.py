import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slimtune.compression.quantization.fake_quantizers.fake_quant import Levels, fake_quantize
from slimtune.compression.quantization.rounding.apot_grid import apot_levels


def with_gradients(
    values: list[float], step: float, levels: Levels, **how: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return result, gradient of each value, and gradient of the step by each value alone."""
    x = torch.tensor(values, requires_grad=True)
    result = fake_quantize(x, torch.tensor(step), levels, **how)
    result.sum().backward()
    of_step = []
    for value in values:
        learned = torch.tensor(step, requires_grad=True)
        fake_quantize(torch.tensor([float(value)]), learned, levels, **how).sum().backward()
        of_step.append(learned.grad)
    assert x.grad is not None
    return result.detach(), x.grad, torch.stack([g for g in of_step if g is not None])


def test_oracle_15_lsq() -> None:
    """Step .5, signed 2 bits with N = 2 and P = 1."""
    levels = Levels(1, signed=True)
    levels.low = -2
    result, of_x, of_step = with_gradients([-2, -0.6, 0.2, 0.7, 3], 0.5, levels)
    assert result.tolist() == [-1, -0.5, 0, 0.5, 0.5]
    torch.testing.assert_close(of_step, torch.tensor([-2, 0.2, -0.4, 1, 1]))
    assert of_x.tolist() == [0, 1, 1, 0, 0]


def test_oracle_15_pact() -> None:
    """Limit 2 on 2 bits: the step is a third of it, and so is the limit's gradient."""
    levels = Levels(3, signed=False)
    result, of_x, of_step = with_gradients([-1, 0.4, 1.2, 5], 2 / 3, levels, rounds=False)
    torch.testing.assert_close(result, torch.tensor([0, 2 / 3, 4 / 3, 2]))
    torch.testing.assert_close(of_step / 3, torch.tensor([0, 0, 0, 1.0]))
    assert of_x.tolist() == [0, 1, 1, 0]


def test_oracle_12_gradient_of_the_apot_clip() -> None:
    """3 bits with a sign, clip 2: the example of algorithms.md 4.1.8."""
    levels = Levels(4, signed=True, only=apot_levels(2))
    values = [-4, -0.9, 0.3, 1.6, 2.4]
    result, of_x, of_step = with_gradients(values, 2 / 4, levels, clips=False)
    torch.testing.assert_close(result, torch.tensor([-2, -1, 0.5, 2, 2]))
    of_clip = of_step / 4
    torch.testing.assert_close(of_clip, torch.tensor([-1, -0.05, 0.1, 0.2, 1]))
    assert float(of_clip.sum()) == pytest.approx(0.25)
    assert of_x.tolist() == [1, 1, 1, 1, 1]


def test_oracle_15_gradients_are_torchs_away_from_the_borders() -> None:
    torch.manual_seed(0)
    step, its_step = (torch.full(shape, 0.3, requires_grad=True) for shape in ((), (1,)))
    values = torch.randn(2000) * 2
    values = values[(values.abs() / 0.3 - 7).abs() > 0.51]  # torch takes the range after rounding
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    weights = torch.randn_like(values)
    fake_quantize(ours, step, Levels(7, signed=True)).mul(weights).sum().backward()
    reference = torch._fake_quantize_learnable_per_tensor_affine(
        theirs, its_step, torch.zeros(1), -7, 7, 1.0
    )
    reference.mul(weights).sum().backward()
    assert step.grad is not None and its_step.grad is not None
    torch.testing.assert_close(step.grad, its_step.grad[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(
        fake_quantize(values, step, Levels(7, signed=True)).detach(), reference.detach()
    )


def test_the_steps_gradient_is_a_difference_quotient_beyond_the_range() -> None:
    step = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([-9.0, 9.0, 12.0], dtype=torch.float64)
    levels = Levels(7, signed=True)
    fake_quantize(x, step, levels).sum().backward()
    up, down = (fake_quantize(x, step.detach() + d, levels).sum() for d in (1e-4, -1e-4))
    assert step.grad is not None
    assert float(step.grad) == pytest.approx(float(up - down) / 2e-4)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("signed", [True, False])
def test_a_look_up_gives_the_nearest_level(bits: int, signed: bool) -> None:
    torch.manual_seed(bits)
    only = apot_levels(bits)
    levels = Levels(only[-1], signed=signed, only=only)
    x = torch.randn(4, 5, 6, 7).to(memory_format=torch.channels_last)
    found = levels.nearest(x, torch.tensor(2 / only[-1]))
    every = torch.tensor(sorted({*only, *(-level for level in only if signed)}))
    distance = (x[..., None] * only[-1] / 2 - every).abs()
    nearest = every[distance.argmin(dim=-1)]
    two_best = distance.topk(2, largest=False).values
    clear = two_best[..., 1] - two_best[..., 0] > 1e-3
    assert clear.float().mean() > 0.98 and torch.equal(found[clear], nearest[clear].float())
    assert found.is_contiguous(memory_format=torch.channels_last)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20),
    st.floats(0.0625, 2, width=32),
    st.sampled_from([None, 2, 3, 4, 5, 6]),
)
def test_rounding_is_odd_idempotent_and_on_the_grid(
    values: list[float], step: float, bits: int | None
) -> None:
    only = None if bits is None else apot_levels(bits)
    high = 7 if only is None else only[-1]
    levels = Levels(high, signed=True, only=only)
    x, unit = torch.tensor(values), torch.tensor(step)
    level = levels.nearest(x, unit)
    assert torch.equal(levels.nearest(-x, unit), -level)
    assert torch.equal(levels.nearest(level * unit, unit), level)
    assert set(level.abs().int().tolist()) <= set(only or range(high + 1))


def test_levels_survive_a_pickle() -> None:
    levels = pickle.loads(pickle.dumps(Levels(4, signed=True, only=(0, 1, 2, 4))))
    x = torch.tensor([2.9, 3.1, -9.0])
    assert levels.nearest(x, torch.tensor(1.0)).tolist() == [2, 4, -4]


@pytest.mark.parametrize("signed", [False, True])
def test_what_is_no_number_is_looked_up_without_an_error(signed: bool) -> None:
    """Training that diverges is told by its loss, not by an index out of range."""
    levels = Levels(10, signed=signed, only=apot_levels(3))
    x = torch.tensor([float("nan"), float("inf"), 1.0])
    assert torch.isfinite(levels.nearest(x, torch.tensor(1.0))[1:]).all()


def in_one_piece(
    x: Tensor, step: Tensor, levels: Levels, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The formulas, written out in float64 for the sum."""
    result = levels.nearest(x, step) * step
    inside = (x > levels.low * float(step)) & (x < levels.high * float(step))
    of_step = (gradient * result).double().sum() - (gradient * inside * x).double().sum()
    return result, gradient * inside, of_step.float() / step


@pytest.mark.parametrize("layout", ["in order", "channels last", "with gaps"])
@pytest.mark.parametrize("kind", ["uniform", "signed", "apot", "signed apot"])
def test_pieces_give_what_the_whole_gives_in_every_memory_order(kind: str, layout: str) -> None:
    """Three pieces and a bit, and a gradient that lies in memory in another order."""
    torch.manual_seed(0)
    signed = kind.startswith("signed")
    only = apot_levels(3 if signed else 4) if kind.endswith("apot") else None
    levels = Levels(only[-1] if only else 15, signed=signed, only=only)
    x = torch.randn(7, 16, 48, 40)
    if layout == "channels last":
        x = x.to(memory_format=torch.channels_last)
    if layout == "with gaps":
        x = torch.randn(7, 16, 48, 80)[..., ::2]
    gradient = torch.randn(7, 16, 48, 40)
    ours, step = x.requires_grad_(), torch.tensor(0.07, requires_grad=True)
    result = fake_quantize(ours, step, levels)
    result.backward(gradient)
    want = in_one_piece(x.detach(), step.detach(), levels, gradient)
    assert torch.equal(result, want[0])
    assert ours.grad is not None and torch.equal(ours.grad, want[1])
    torch.testing.assert_close(step.grad, want[2], rtol=1e-4, atol=0.02)


@pytest.mark.parametrize("only", [None, apot_levels(4)])
def test_short_numbers_are_rounded_to_levels_in_float32(only: tuple[int, ...] | None) -> None:
    """Of bfloat16 values, the levels are those of the same values in float32."""
    levels = Levels(only[-1] if only else 255, signed=False, only=only)
    x = (torch.rand(140_000) * 9).bfloat16()
    step = torch.tensor(7.3 / levels.high)
    result = fake_quantize(x.requires_grad_(), step, levels)
    whole = fake_quantize(x.detach().float(), step, levels)
    assert result.dtype == torch.bfloat16 and torch.equal(result, whole.bfloat16())
    result.sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.bfloat16
