"""Every method trains a pruned student and one of another architecture, with mixup and without."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.pruning import L1
from slimtune.compression.pruning.stage.stage import prune
from slimtune.compression.stages import Prune, Train
from slimtune.compression.training.loop import Teaching, train_network
from slimtune.workload.augment import normalise
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Architecture, Split, Workload
from slimtune.workload.zoo.build import build

TEACHERS = [name for name in DISTILLATION if name != "none"]


@pytest.fixture(scope="module")
def few_digits(digits: Workload) -> Workload:
    """A workload of five steps an epoch."""
    train, validation = digits.train, digits.validation
    return replace(
        digits,
        train=Split(train.images[:160], train.labels[:160]),
        validation=Split(validation.images[:50], validation.labels[:50]),
    )


@pytest.fixture(scope="module")
def pruned(few_digits: Workload) -> tuple[nn.Module, dict[str, list[int]]]:
    """The baseline without half of its channels, and its keep list."""
    student = materialize_shortcuts(copy.deepcopy(few_digits.baseline))
    images = torch.from_numpy(few_digits.train.images[:8])
    batch = normalise(images, few_digits.mean, few_digits.std)
    labels = torch.from_numpy(few_digits.train.labels[:8])
    return student, prune(student, Prune(method=L1(), amount=0.5), batch=(batch, labels))


def trained(name: str, student: nn.Module, teacher: nn.Module, workload: Workload, kept, **more):
    method = DISTILLATION[name]()
    torch.manual_seed(0)
    student = copy.deepcopy(student)
    teacher = copy.deepcopy(teacher).requires_grad_(method.mutual)
    before = [parameter.clone() for parameter in teacher.parameters()]
    history = train_network(
        student,
        workload,
        Train(epochs=1, batch_size=32, **more),
        Teaching(method, teacher, kept=kept or {}),
        generator=torch.Generator().manual_seed(0),
    )
    same = all(map(torch.equal, teacher.parameters(), before))
    return student, history[0].loss, same


@pytest.mark.parametrize("mixup", [0.0, 0.5], ids=["plain", "mixup"])
@pytest.mark.parametrize("name", TEACHERS)
def test_a_pruned_student_learns_from_the_baseline(
    name: str, mixup: float, few_digits: Workload, pruned: tuple[nn.Module, dict[str, list[int]]]
) -> None:
    student, kept = pruned
    modules = [key for key, _ in student.named_modules()]
    results = [
        trained(name, student, few_digits.baseline, few_digits, kept, mixup=mixup)
        for _ in range(2)
    ]
    first, again = results
    assert math.isfinite(first[1]) and first[1] == again[1]
    assert torch.equal(first[0].linear.weight, again[0].linear.weight)
    assert not torch.equal(first[0].conv1.weight, student.conv1.weight)
    assert [key for key, _ in first[0].named_modules()] == modules  # adapters do not ship
    assert first[2] is not DISTILLATION[name].mutual  # only a peer is trained along


@pytest.mark.parametrize("name", TEACHERS)
def test_a_student_learns_from_a_teacher_of_another_architecture(
    name: str, few_digits: Workload
) -> None:
    torch.manual_seed(1)
    channels = few_digits.image_shape[0]
    teacher = materialize_shortcuts(build(Architecture("resnet20", 10, channels)))
    narrow = materialize_shortcuts(build(Architecture("resnet8x2", 10, channels)))
    for student in (few_digits.baseline, narrow):
        _, loss, same = trained(name, student, teacher, few_digits, {})
        assert math.isfinite(loss)
        assert same is not DISTILLATION[name].mutual
