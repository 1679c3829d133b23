from dataclasses import replace

import torch

from slimtune.compression.distillation import BaseDistillation, MutualLearning, NoDistillation
from slimtune.compression.training.lessons import ask_again
from slimtune.compression.training.loop import network_logits
from slimtune.compression.training.teaching import lessons_of, teacher_of
from slimtune.workload.types import Augmentation, Workload


def test_a_teacher_is_a_frozen_copy_and_a_peer_is_not_frozen(digits: Workload) -> None:
    assert teacher_of(digits, NoDistillation(), "cpu") is None
    teacher = teacher_of(digits, BaseDistillation(), "cpu")
    peer = teacher_of(digits, MutualLearning(), "cpu")
    assert teacher is not None and peer is not None and teacher is not digits.baseline
    assert not any(p.requires_grad for p in teacher.parameters())
    assert any(p.requires_grad for p in peer.parameters())


def test_without_augmentation_the_lessons_are_the_teachers_logits(digits: Workload) -> None:
    still = replace(digits, augmentation=Augmentation())
    lessons = lessons_of(still, "float32", "cpu", 8, ask_again, seed=0)
    assert lessons is not None
    expected = network_logits(digits.baseline, digits.train.images, digits)
    torch.testing.assert_close(lessons.view(5).logits.float(), expected, rtol=2e-3, atol=2e-3)


def test_no_views_are_no_lessons(digits: Workload) -> None:
    assert lessons_of(digits, "float32", "cpu", 0, ask_again, seed=0) is None
