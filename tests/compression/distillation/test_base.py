"""Numbers of reference/algorithms.md 5.1."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from slimtune.compression.distillation import BaseDistillation

STUDENT = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
TEACHER = torch.tensor([[3.0, 1.0, -1.0], [1.0, 0.0, 2.0]])
LABELS = torch.tensor([0, 2])
HARD = F.cross_entropy(STUDENT, LABELS)


def soft(temperature: float, student: Tensor = STUDENT, teacher: Tensor = TEACHER) -> Tensor:
    method = BaseDistillation(alpha=1.0, temperature=temperature)
    return method.loss(torch.zeros(()), student, teacher)


@pytest.mark.parametrize(("t", "value"), [(1, 0.183654), (2, 0.303128), (4, 0.358840)])
def test_the_distillation_term_is_the_worked_example(t: float, value: float) -> None:
    assert soft(t).item() == pytest.approx(value, abs=1e-6)


def test_alpha_weights_the_distillation_term_and_the_rest_weights_the_labels() -> None:
    mixed = BaseDistillation(alpha=0.9, temperature=4).loss(HARD, STUDENT, TEACHER)
    assert HARD.item() == pytest.approx(0.288726, abs=1e-6)
    assert mixed.item() == pytest.approx(0.9 * 0.358840 + 0.1 * 0.288726, abs=1e-6)


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


def test_no_teacher_is_needed_at_weight_zero() -> None:
    assert not BaseDistillation(alpha=0.0).needs_teacher
    assert BaseDistillation(alpha=0.1).needs_teacher
