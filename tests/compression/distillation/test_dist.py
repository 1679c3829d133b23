"""Oracle 17, DIST (algorithms.md 5.7)."""

import pytest
import scipy.stats
import torch

from slimtune.compression.distillation import DistDistillation

STUDENT = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
TEACHER = torch.tensor([[3.0, 1.0, -1.0], [1.0, 0.0, 2.0]])
INTER = DistDistillation(temperature=1, inter_weight=1, intra_weight=0)
INTRA = DistDistillation(temperature=1, inter_weight=0, intra_weight=1)


def test_oracle_17_the_term_within_an_image_is_the_worked_example(make_batch) -> None:
    batch = make_batch()
    assert (INTER.loss(batch) - batch.hard).item() == pytest.approx(0.0352308, abs=1e-6)


def test_the_term_within_a_class_is_degenerate_on_two_images(make_batch) -> None:
    batch = make_batch()
    assert (INTRA.loss(batch) - batch.hard).item() == pytest.approx(0, abs=1e-6)


def test_both_terms_are_pearsons_correlation_of_the_softened_probabilities(make_batch) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(8, 5), torch.randn(8, 5)
    p, q = (torch.softmax(logits / 3, 1).double().numpy() for logits in (student, teacher))
    inter = 1 - sum(scipy.stats.pearsonr(a, b).statistic for a, b in zip(p, q, strict=True)) / 8
    intra = (
        1 - sum(scipy.stats.pearsonr(a, b).statistic for a, b in zip(p.T, q.T, strict=True)) / 5
    )
    method = DistDistillation(temperature=3, inter_weight=0.5, intra_weight=2)
    batch = make_batch(student, teacher, labels=torch.arange(8) % 5)
    found = (method.loss(batch) - batch.hard).item()
    assert found == pytest.approx(9 * (0.5 * inter + 2 * intra), rel=1e-4)


def test_oracle_17_an_affine_map_of_the_probabilities_changes_nothing(make_batch) -> None:
    """Mixing an image's probabilities with uniform ones keeps them probabilities."""
    flatter = (0.6 * STUDENT.softmax(1) + 0.4 / 3).log()
    hard = torch.zeros(())
    plain, mixed = (INTER.loss(make_batch(s, hard=hard)) for s in (STUDENT, flatter))
    torch.testing.assert_close(plain, mixed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("student", [torch.zeros(2, 3), torch.ones(2, 3) * 50, STUDENT[[0, 0]]])
def test_what_is_constant_keeps_loss_and_gradient_finite(
    student: torch.Tensor, make_batch
) -> None:
    logits = student.clone().requires_grad_()
    loss = DistDistillation().loss(make_batch(logits))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() < 100


def test_a_teacher_is_needed_unless_both_weights_are_zero() -> None:
    assert INTER.needs_teacher and INTRA.needs_teacher
    assert not DistDistillation(inter_weight=0, intra_weight=0).needs_teacher
