"""Oracle 17, logit standardization (algorithms.md 5.7)."""

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimtune.compression.distillation import LogitStandardization
from slimtune.compression.distillation.logit_std import z_scores

STUDENT = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
TEACHER = torch.tensor([[3.0, 1.0, -1.0], [1.0, 0.0, 2.0]])


def test_oracle_17_the_term_is_the_worked_example(make_batch) -> None:
    """T^2 * KL of the z-scores at T = 2 is .0844762."""
    method = LogitStandardization(label_weight=0, logit_weight=1, temperature=2)
    assert method.loss(make_batch()).item() == pytest.approx(0.0844762, abs=1e-6)


def test_both_terms_are_weighted(make_batch) -> None:
    batch = make_batch()
    expected = 0.1 * batch.hard.item() + 9 * 0.0844762
    assert LogitStandardization().loss(batch).item() == pytest.approx(expected, abs=1e-5)


@given(st.floats(1e-3, 1e3), st.floats(-30, 30))
def test_oracle_17_scale_and_shift_of_an_images_logits_change_nothing(
    scale: float, shift: float
) -> None:
    moved = z_scores(scale * (STUDENT + shift))
    torch.testing.assert_close(moved, z_scores(STUDENT), rtol=1e-3, atol=1e-4)


def test_a_z_score_has_the_deviation_of_a_sample() -> None:
    expected = scipy.stats.zscore(TEACHER.numpy(), axis=1, ddof=1)
    torch.testing.assert_close(z_scores(TEACHER), torch.from_numpy(expected))


def test_logits_that_are_all_equal_keep_loss_and_gradient_finite(make_batch) -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = LogitStandardization().loss(make_batch(logits))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


def test_without_its_weight_no_teacher_is_needed_and_the_labels_count_in_full(make_batch) -> None:
    method = LogitStandardization(logit_weight=0)
    batch = make_batch(teacher=None)
    assert not method.needs_teacher and method.loss(batch) is batch.hard
