"""Oracle 17, decoupled distillation (algorithms.md 5.4)."""

import pytest
import torch
import torch.nn.functional as F

from slimtune.compression.distillation import DecoupledDistillation
from slimtune.compression.distillation.dkd import decoupled_divergences

STUDENT = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
TEACHER = torch.tensor([[3.0, 1.0, -1.0], [1.0, 0.0, 2.0]])
LABELS = torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("t", "target", "rest"), [(1, 0.101835, 0.264624), (4, 0.0115548, 0.0192828)]
)
def test_oracle_17_both_divergences_are_the_worked_example(
    t: float, target: float, rest: float
) -> None:
    found = decoupled_divergences(STUDENT / t, TEACHER / t, LABELS)
    assert [value.item() for value in found] == pytest.approx([target, rest], abs=1e-6)


def test_oracle_17_the_loss_is_the_worked_example(make_batch) -> None:
    """L(1, 8, T = 4) = 2.653070 without the loss on the labels."""
    batch = make_batch()
    method = DecoupledDistillation(target_weight=1, rest_weight=8, temperature=4)
    assert (method.loss(batch) - batch.hard).item() == pytest.approx(2.653070, abs=2e-6)


def test_oracle_17_hintons_divergence_is_the_target_plus_the_weighted_rest() -> None:
    """KL(p_t || p_s) = target + (1 - p_t of the label) * rest, image by image."""
    torch.manual_seed(0)
    student, teacher = 3 * torch.randn(50, 10), 3 * torch.randn(50, 10)
    labels = torch.randint(10, (50,))
    for i in range(50):
        s, t, y = student[i : i + 1], teacher[i : i + 1], labels[i : i + 1]
        target, rest = decoupled_divergences(s, t, y)
        whole = F.kl_div(F.log_softmax(s, 1), F.softmax(t, 1), reduction="sum")
        unsure = 1 - F.softmax(t, 1)[0, y[0]]
        assert whole.item() == pytest.approx((target + unsure * rest).item(), abs=1e-5)


def test_of_mixed_images_both_labels_are_the_target_by_their_shares(make_batch) -> None:
    other = torch.tensor([1, 0])
    method = DecoupledDistillation()
    hard = torch.tensor(0.0)
    mixed = method.loss(make_batch(hard=hard, mixed_labels=other, share=0.3))
    first = method.loss(make_batch(hard=hard))
    second = method.loss(make_batch(hard=hard, labels=other))
    assert mixed.item() == pytest.approx((0.3 * first + 0.7 * second).item(), rel=1e-6)


def test_the_teacher_is_heard_more_and_more_during_the_warm_up(make_batch) -> None:
    method = DecoupledDistillation(warm_up=0.2)
    hard = make_batch().hard.item()
    terms = [
        method.loss(make_batch(progress=progress)).item() - hard
        for progress in (0.0, 0.1, 0.2, 0.9)
    ]
    assert terms[0] == 0 and terms[1] == pytest.approx(terms[2] / 2, rel=1e-5)
    assert terms[2] == terms[3]
    at_once = DecoupledDistillation(warm_up=0).loss(make_batch(progress=0.0)).item() - hard
    assert at_once == terms[3]


@pytest.mark.parametrize("scale", [1e3, 1e4, 1e30])
def test_a_teacher_that_is_certain_keeps_loss_and_gradient_finite(
    scale: float, make_batch
) -> None:
    student = STUDENT.clone().requires_grad_()
    loss = DecoupledDistillation().loss(make_batch(student=student, teacher=scale * TEACHER))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(student.grad).all()


def test_two_classes_have_no_rest() -> None:
    target, rest = decoupled_divergences(STUDENT[:, :2], TEACHER[:, :2], torch.tensor([0, 1]))
    assert rest.item() == 0 and target.item() > 0


def test_it_takes_hard_labels_and_a_teacher_unless_both_weights_are_zero() -> None:
    assert DecoupledDistillation.hard_labels and DecoupledDistillation().needs_teacher
    assert not DecoupledDistillation(target_weight=0, rest_weight=0).needs_teacher
