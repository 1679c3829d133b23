"""Oracle 16: the numbers of reference/algorithms.md 5.1."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from slimtune.compression.distillation import BaseDistillation
from slimtune.compression.distillation.base import softened_divergence

STUDENT = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
TEACHER = torch.tensor([[3.0, 1.0, -1.0], [1.0, 0.0, 2.0]])


def soft(temperature: float, student: Tensor = STUDENT, teacher: Tensor = TEACHER) -> Tensor:
    return temperature**2 * softened_divergence(student, teacher, temperature)


@pytest.mark.parametrize(("t", "value"), [(1, 0.183654), (2, 0.303128), (4, 0.358840)])
def test_the_distillation_term_is_the_worked_example(t: float, value: float, make_batch) -> None:
    assert soft(t).item() == pytest.approx(value, abs=1e-6)
    loss = BaseDistillation(alpha=1.0, temperature=t).loss(make_batch())
    assert loss.item() == pytest.approx(value, abs=1e-6)


def test_alpha_weights_the_distillation_term_and_the_rest_weights_the_labels(make_batch) -> None:
    batch = make_batch()
    mixed = BaseDistillation(alpha=0.9, temperature=4).loss(batch)
    assert batch.hard.item() == pytest.approx(0.288726, abs=1e-6)
    assert mixed.item() == pytest.approx(0.9 * 0.358840 + 0.1 * 0.288726, abs=1e-6)


def test_the_divergence_is_summed_over_classes_and_averaged_over_the_batch() -> None:
    """The mean over all elements, the common mistake, is smaller by the number of classes."""
    each = F.kl_div(F.log_softmax(STUDENT, 1), F.softmax(TEACHER, 1), reduction="none")
    assert soft(1).item() == pytest.approx(3 * each.mean().item(), rel=1e-6)


def test_a_high_temperature_tends_to_the_variance_of_the_difference() -> None:
    difference = TEACHER - STUDENT
    centred = difference - difference.mean(dim=1, keepdim=True)
    limit = (centred**2).sum(dim=1).mean() / (2 * 3)
    assert limit.item() == pytest.approx(0.388889, abs=1e-6)
    assert soft(100).item() == pytest.approx(limit.item(), rel=2e-3)


def test_the_gradient_is_t_times_the_difference_of_probabilities_over_the_batch() -> None:
    student = STUDENT.clone().requires_grad_()
    soft(3.0, student).backward()
    expected = 3.0 * (F.softmax(STUDENT / 3, 1) - F.softmax(TEACHER / 3, 1)) / 2
    torch.testing.assert_close(student.grad, expected)


@given(st.floats(-50, 50), st.floats(0.5, 10))
def test_shifting_all_logits_of_an_image_changes_nothing(shift: float, t: float) -> None:
    torch.testing.assert_close(soft(t, STUDENT + shift), soft(t), rtol=1e-3, atol=1e-4)


def test_agreeing_with_the_teacher_costs_nothing() -> None:
    assert soft(4.0, TEACHER).item() == pytest.approx(0.0, abs=1e-7)


def test_no_teacher_is_needed_at_weight_zero(make_batch) -> None:
    assert not BaseDistillation(alpha=0.0).needs_teacher
    assert BaseDistillation(alpha=0.1).needs_teacher
    batch = make_batch(teacher=None)
    assert BaseDistillation(alpha=0.0).loss(batch) is batch.hard


def test_of_mixed_images_the_teacher_sees_the_mixture_and_the_labels_are_shared(
    make_batch,
) -> None:
    """What mixup changes is the loss on the labels alone; the logits are of mixed images."""
    plain, mixed = make_batch(), make_batch(hard=torch.tensor(2.0), share=0.3)
    method = BaseDistillation(alpha=0.9, temperature=4)
    difference = method.loss(mixed) - method.loss(plain)
    assert difference.item() == pytest.approx(0.1 * (2.0 - 0.288726), abs=1e-6)
