"""Oracle 17, mutual learning (algorithms.md 5.5)."""

import pytest
import torch

from slimtune.compression.distillation import MutualLearning

STUDENT = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
TEACHER = torch.tensor([[3.0, 1.0, -1.0], [1.0, 0.0, 2.0]])


def test_the_peers_term_is_the_divergence_at_temperature_one(make_batch) -> None:
    batch = make_batch()
    assert (MutualLearning().loss(batch) - batch.hard).item() == pytest.approx(0.183654, abs=1e-6)
    half = MutualLearning(peer_weight=0.5).loss(batch) - batch.hard
    assert half.item() == pytest.approx(0.183654 / 2, abs=1e-6)


def test_oracle_17_equal_peers_have_nothing_to_say_to_each_other(make_batch) -> None:
    student = STUDENT.clone().requires_grad_()
    batch = make_batch(student=student, teacher=STUDENT, hard=torch.zeros(()))
    loss = MutualLearning().loss(batch)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-7)
    torch.testing.assert_close(student.grad, torch.zeros_like(student), rtol=0, atol=1e-7)


def test_each_is_pulled_towards_the_other(make_batch) -> None:
    """The direction of the divergence: the target is the other network."""
    for own, other in ((STUDENT, TEACHER), (TEACHER, STUDENT)):
        logits = own.clone().requires_grad_()
        batch = make_batch(student=logits, teacher=other, hard=torch.zeros(()))
        MutualLearning().loss(batch).backward()
        torch.testing.assert_close(
            logits.grad, (own.softmax(1) - other.softmax(1)) / 2, rtol=1e-5, atol=1e-6
        )


def test_the_peer_is_trained_along_unless_nobody_listens() -> None:
    assert MutualLearning.mutual and MutualLearning().needs_teacher
    assert not MutualLearning(peer_weight=0).needs_teacher
