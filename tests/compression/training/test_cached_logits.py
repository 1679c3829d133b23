from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from slimtune.compression.distillation import (
    DISTILLATION,
    AttentionTransfer,
    BaseDistillation,
    MutualLearning,
    NoDistillation,
)
from slimtune.compression.stages import Train
from slimtune.compression.training import cached_logits as lessons_module
from slimtune.compression.training.cached_logits import CachedLogits, cached_views, logits_suffice
from slimtune.workload.augment import change
from slimtune.workload.types import Augmentation, Workload


class Teacher:
    """Says the mean of each image's halves, and counts how many images it was shown."""

    def __init__(self) -> None:
        self.shown = 0

    def __call__(self, images: np.ndarray) -> Tensor:
        self.shown += len(images)
        pixels = torch.from_numpy(images).float().mean(dim=3)
        return torch.stack([pixels[:, :, :4].mean((1, 2)), pixels[:, :, 4:].mean((1, 2))], dim=1)


def cached_logits(
    workload: Workload, teacher: Teacher, views: int = 3, **more: object
) -> CachedLogits:
    return CachedLogits(workload, teacher, views=views, **{"seed": 0, **more})


def test_the_answers_are_those_to_the_images_that_the_student_sees(digits: Workload) -> None:
    view = cached_logits(digits, Teacher()).view(1)
    images = torch.from_numpy(np.array(digits.train.images))
    seen = change(images, view.changes, digits.augmentation)
    assert not torch.equal(seen, images)
    assert torch.equal(view.logits, Teacher()(seen.numpy()).half())


def test_each_view_is_asked_about_once_and_only_when_a_student_comes_to_it(
    digits: Workload,
) -> None:
    teacher, n = Teacher(), len(digits.train)
    kept = cached_logits(digits, teacher, views=3)
    assert teacher.shown == 0
    for epoch, asked in ((0, 1), (1, 2), (0, 2), (2, 3), (3, 3), (7, 3)):
        kept.view(epoch)
        assert teacher.shown == asked * n, epoch


def test_until_views_are_used_up_every_epoch_has_another_one(digits: Workload) -> None:
    kept = cached_logits(digits, Teacher(), views=3)
    crops = [kept.view(epoch).changes.left for epoch in range(4)]
    assert not torch.equal(crops[0], crops[1]) and not torch.equal(crops[1], crops[2])
    assert torch.equal(crops[0], crops[3])


def test_views_follow_from_the_seed_alone(digits: Workload) -> None:
    first, again, other = (cached_logits(digits, Teacher(), seed=s).view(2) for s in (4, 4, 5))
    assert torch.equal(first.logits, again.logits)
    assert not torch.equal(first.changes.top, other.changes.top)


def test_what_is_known_from_elsewhere_is_not_asked(digits: Workload) -> None:
    known = torch.zeros(len(digits.train), 2).half()
    teacher = Teacher()
    kept = cached_logits(digits, teacher, cache=lambda view, ask: known if view == 1 else ask())
    assert kept.view(1).logits is known and teacher.shown == 0
    kept.view(0)
    assert teacher.shown == len(digits.train)


def test_images_that_nothing_happens_to_have_one_view(digits: Workload) -> None:
    still = replace(digits, augmentation=Augmentation())
    assert cached_views(8, still) == 1 and cached_views(0, still) == 0
    assert cached_views(8, digits) == 8


def test_as_many_views_are_kept_as_there_is_room_for(
    digits: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = 2 * len(digits.train) * len(digits.classes)
    monkeypatch.setattr(lessons_module, "ROOM", 3 * one + 5)
    assert cached_views(8, digits) == 3
    monkeypatch.setattr(lessons_module, "ROOM", one - 1)
    assert cached_views(8, digits) == 0  # then the teacher looks on


def test_answers_are_kept_for_methods_that_ask_for_logits_of_whole_images() -> None:
    plain = Train(epochs=1)
    kept = {name for name in DISTILLATION if logits_suffice(DISTILLATION[name](), plain)}
    assert kept == {"base", "dist", "dkd", "logit_std"}
    assert not logits_suffice(BaseDistillation(), Train(epochs=1, mixup=0.2))
    assert not logits_suffice(BaseDistillation(alpha=0), plain)
    for method in (NoDistillation(), MutualLearning(), AttentionTransfer()):
        assert not logits_suffice(method, plain)
