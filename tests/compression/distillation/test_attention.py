"""Oracle 17, attention transfer (algorithms.md 5.6)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimtune.compression.distillation import AttentionTransfer, BaseDistillation
from slimtune.compression.distillation.attention import attention_map
from slimtune.compression.distillation.protocol import Level

STUDENT = torch.tensor([[[[1.0, 0], [0, 1]], [[0, 2], [0, 0]]]])
TEACHER = torch.ones(1, 3, 2, 2)


def test_oracle_17_maps_and_loss_are_the_worked_example(make_batch) -> None:
    ours, theirs = attention_map(STUDENT), attention_map(TEACHER)
    expected = torch.tensor([[0.2357, 0.9428, 0, 0.2357]])
    torch.testing.assert_close(ours, expected, rtol=0, atol=5e-5)
    torch.testing.assert_close(theirs, torch.full((1, 4), 0.5))
    assert (ours - theirs).norm().item() == pytest.approx(0.765367, abs=1e-6)
    batch = make_batch(levels=(Level(STUDENT, STUDENT, TEACHER, TEACHER),))
    term = AttentionTransfer(attention_weight=1.0).loss(batch) - batch.hard
    assert term.item() == pytest.approx(0.146447, abs=1e-6)


@given(st.floats(1e-3, 1e3))
def test_oracle_17_the_scale_of_the_maps_does_not_matter(scale: float) -> None:
    torch.testing.assert_close(attention_map(scale * STUDENT), attention_map(STUDENT))


def test_the_number_and_order_of_channels_do_not_matter() -> None:
    maps = torch.randn(2, 8, 4, 4)
    doubled = torch.cat([maps.flip(1), maps], dim=1)
    torch.testing.assert_close(attention_map(doubled), attention_map(maps))


def test_stages_are_summed(make_batch) -> None:
    level = Level(STUDENT, STUDENT, TEACHER, TEACHER)
    one, two = (AttentionTransfer().loss(make_batch(levels=(level,) * n)) for n in (1, 2))
    hard = make_batch().hard
    assert (two - hard).item() == pytest.approx(2 * (one - hard).item(), rel=1e-5)


def test_an_image_without_energy_keeps_loss_and_gradient_finite(make_batch) -> None:
    maps = torch.zeros(2, 3, 4, 4, requires_grad=True)
    teacher = torch.ones(2, 5, 4, 4)
    loss = AttentionTransfer().loss(make_batch(levels=(Level(maps, maps, teacher, teacher),)))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(maps.grad).all()


def test_logits_are_distilled_too_where_alpha_says_so(make_batch) -> None:
    batch = make_batch()
    assert AttentionTransfer().loss(batch).item() == pytest.approx(batch.hard.item())
    expected = BaseDistillation(alpha=0.7).loss(batch)
    assert AttentionTransfer(alpha=0.7).loss(batch).item() == expected.item()


def test_a_teacher_is_needed_unless_both_weights_are_zero() -> None:
    assert AttentionTransfer().needs_teacher
    assert not AttentionTransfer(attention_weight=0).needs_teacher
