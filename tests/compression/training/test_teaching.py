from dataclasses import replace

import torch

from slimtune.compression.distillation import BaseDistillation, MutualLearning, NoDistillation
from slimtune.compression.training.cached_logits import without_cache
from slimtune.compression.training.loop import network_logits
from slimtune.compression.training.teaching import cached_logits_of, teacher_of
from slimtune.conditions import Conditions
from slimtune.workload.types import Augmentation, Workload


def test_a_teacher_is_a_frozen_copy_and_a_peer_is_not_frozen(digits: Workload) -> None:
    assert teacher_of(digits, NoDistillation(), "cpu") is None
    teacher = teacher_of(digits, BaseDistillation(), "cpu")
    peer = teacher_of(digits, MutualLearning(), "cpu")
    assert teacher is not None and peer is not None and teacher is not digits.baseline
    assert not any(p.requires_grad for p in teacher.parameters())
    assert any(p.requires_grad for p in peer.parameters())


def test_without_augmentation_the_cached_logits_are_the_teachers(digits: Workload) -> None:
    still = replace(digits, augmentation=Augmentation())
    cached_logits = cached_logits_of(still, Conditions(seed=0, views=8), without_cache)
    assert cached_logits is not None
    expected = network_logits(digits.baseline, digits.train.images, digits)
    torch.testing.assert_close(
        cached_logits.view(5).logits.float(), expected, rtol=2e-3, atol=2e-3
    )


def test_without_views_no_logits_are_cached(digits: Workload) -> None:
    assert cached_logits_of(digits, Conditions(seed=0, views=0), without_cache) is None
