import copy
import gc
import weakref

import pytest
import torch
import torchvision.models
from torch import Tensor, nn

from slimtune.compression.distillation.features import check_features, follow_levels
from slimtune.compression.distillation.taps import find_levels
from slimtune.compression.pruning import L1
from slimtune.compression.pruning.stage.stage import prune
from slimtune.compression.pruning.stage.surgery import find_groups, remove_channels
from slimtune.compression.stages import Prune
from slimtune.errors import TrialError
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

EXAMPLE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Vgg(nn.Module):
    """Convolutions, in-place ReLUs and poolings, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64)):
            conv = nn.Conv2d(before, after, 3, padding=1)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


SMALL = {
    "vgg": Vgg,
    "densenet": lambda: torchvision.models.DenseNet(8, (2, 2, 2), 16, num_classes=10),
}


def network(name: str, seed: int = 0) -> nn.Module:
    """An untrained network in eval mode whose batch norms are not trivial."""
    torch.manual_seed(seed)
    net = SMALL[name]() if name in SMALL else build(Architecture(name, 10, 3))
    net = materialize_shortcuts(net).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return net


def halved(teacher: nn.Module) -> tuple[nn.Module, nn.Module, dict[str, list[int]]]:
    """A copy without every other channel, the same channels dead in another copy, keep list."""
    groups = find_groups(teacher, EXAMPLE)
    removals = {group.name: list(range(0, group.channels, 2)) for group in groups}
    cut, dead = copy.deepcopy(teacher), copy.deepcopy(teacher)
    remove_channels(cut, EXAMPLE, removals)
    for group in groups:
        for name, _ in group.norms:
            for parameter in dead.get_submodule(name).parameters():
                parameter.data[removals[group.name]] = 0
    kept = {
        layer: list(range(1, group.channels, 2))
        for group in groups
        for layer, _ in group.producers
    }
    return cut.eval(), dead.eval(), kept


def followed(student: nn.Module, teacher: nn.Module, features: str, kept=None, images=EXAMPLE):
    with follow_levels(student, teacher, EXAMPLE, features=features, kept=kept or {}) as follower:
        student(images)
        with torch.no_grad():
            teacher(images)
        return follower, follower.levels()


def sizes(levels) -> list[tuple[int, int, int, int]]:
    return [
        (s.student_out.shape[1], s.teacher_out.shape[1], *s.student_out.shape[2:]) for s in levels
    ]


@pytest.mark.parametrize("name", ["resnet8", "resnet8b", "vgg"])
def test_a_pruned_student_compares_with_the_teachers_surviving_channels_exactly(name: str) -> None:
    """With the removed channels dead, the selected maps of the teacher are the student's."""
    student, teacher, kept = halved(network(name))
    follower, levels = followed(student, teacher, "channels", kept)
    assert follower.adapters == () and len(levels) >= 3
    for level in levels:
        assert level.student_out.shape == level.teacher_out.shape
        torch.testing.assert_close(level.student_out, level.teacher_out, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(level.student_in, level.teacher_in, rtol=1e-4, atol=1e-4)


def test_the_keep_list_of_the_pruning_stage_needs_no_adapters() -> None:
    teacher = network("resnet8")
    student = copy.deepcopy(teacher)
    settings = Prune(method=L1(), amount=0.5, scope="global", round_to=1)
    kept = prune(student, settings, batch=(EXAMPLE, torch.tensor([0, 1])))
    follower, levels = followed(student, teacher, "channels", kept)
    assert follower.adapters == () and any(ours < 64 for ours, *_ in sizes(levels)[2:])
    assert all(level.student_out.shape == level.teacher_out.shape for level in levels)


def test_the_selected_channels_are_those_of_the_keep_list() -> None:
    teacher = network("resnet8")
    student, _, kept = halved(teacher)
    whole = followed(copy.deepcopy(teacher), teacher, "maps")[1]
    chosen = followed(student, teacher, "channels", kept)[1]
    for all_of_them, some in zip(whole, chosen, strict=True):
        assert torch.equal(some.teacher_out, all_of_them.teacher_out[:, 1::2])
        assert torch.equal(some.teacher_in, all_of_them.teacher_in[:, 1::2])


def test_a_copy_compares_with_its_teacher_channel_by_channel() -> None:
    teacher = network("resnet20")
    follower, levels = followed(copy.deepcopy(teacher), teacher, "channels")
    assert sizes(levels) == [(16, 16, 32, 32), (32, 32, 16, 16), (64, 64, 8, 8)]
    assert follower.adapters == ()
    for level in levels:
        assert torch.equal(level.student_out, level.teacher_out)
        assert torch.equal(level.student_in, level.teacher_in)


def test_a_stage_reads_what_the_stage_before_it_gave() -> None:
    teacher = network("vgg")
    _, levels = followed(copy.deepcopy(teacher), teacher, "maps")
    for before, after in zip(levels, levels[1:], strict=False):
        assert after.student_in is before.student_out and after.teacher_in is before.teacher_out


@pytest.mark.parametrize("student", ["resnet8x4", "resnet18"])
def test_another_architecture_is_matched_by_size_and_adapted_by_learned_convolutions(
    student: str,
) -> None:
    follower, levels = followed(network(student), network("resnet20", 1), "channels")
    assert [size[1:] for size in sizes(levels)] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert all(level.student_out.shape == level.teacher_out.shape for level in levels)
    assert len(follower.adapters) == 4  # three levels and what the first reads
    sum(level.student_out.sum() for level in levels).backward()
    first, *others = follower.adapters
    assert first.weight.grad is None and all(a.weight.grad is not None for a in others)


def test_adapters_are_the_same_for_the_same_seed() -> None:
    student, teacher = network("resnet8x4"), network("resnet20")
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        follower, _ = followed(student, teacher, "channels")
        weights.append(torch.cat([p.flatten() for a in follower.adapters for p in a.parameters()]))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_keep_list_says_nothing_about_a_teacher_of_another_depth() -> None:
    student, _, kept = halved(network("resnet8"))
    follower, levels = followed(student, network("resnet56"), "channels", kept)
    assert len(follower.adapters) == 4
    assert all(level.student_out.shape == level.teacher_out.shape for level in levels)


def test_concatenated_channels_are_adapted_not_guessed_from_the_last_keep_list() -> None:
    teacher = network("densenet")
    student, _, kept = halved(teacher)
    follower, levels = followed(student, teacher, "channels", kept)
    assert follower.adapters
    assert all(level.student_out.shape == level.teacher_out.shape for level in levels)


def test_maps_keep_their_own_channels_where_only_sizes_must_agree() -> None:
    student, teacher, kept = halved(network("resnet8"))
    follower, levels = followed(student, teacher, "maps", kept)
    assert sizes(levels) == [(8, 16, 32, 32), (16, 32, 16, 16), (32, 64, 8, 8)]
    assert follower.adapters == ()


def test_the_student_gets_a_gradient_and_the_teacher_none() -> None:
    student, teacher = network("resnet8"), network("resnet20")
    with follow_levels(student, teacher, EXAMPLE, features="channels", kept={}) as follower:
        student(EXAMPLE), teacher(EXAMPLE)
        loss = sum((s.student_out - s.teacher_out).square().mean() for s in follower.levels())
    loss.backward()
    assert student.conv1.weight.grad is not None
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_an_in_place_relu_is_followed_too() -> None:
    student, teacher = network("vgg"), network("vgg", 1)
    _, levels = followed(student, teacher, "channels")
    sum((s.student_out - s.teacher_out).square().mean() for s in levels).backward()
    assert all(level.student_out.min() >= 0 for level in levels)


def test_nothing_is_followed_unless_asked_for_or_without_a_teacher() -> None:
    student = network("resnet8")
    for teacher, features in ((None, "maps"), (network("resnet8"), "none")):
        with follow_levels(student, teacher, EXAMPLE, features=features, kept={}) as follower:
            student(EXAMPLE)
            assert follower.levels() == () and follower.adapters == ()


def test_hooks_and_maps_are_gone_at_the_end_even_after_an_error() -> None:
    student, teacher = network("resnet8"), network("resnet20")
    with (
        pytest.raises(ZeroDivisionError),
        follow_levels(student, teacher, EXAMPLE, features="channels", kept={}) as follower,
    ):
        student(EXAMPLE), teacher(EXAMPLE)
        maps = weakref.ref(follower.levels()[0].student_out)
        raise ZeroDivisionError
    for net in (student, teacher):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    gc.disable()
    try:
        alive = weakref.ref(follower)
        del follower
        assert maps() is None and alive() is None
    finally:
        gc.enable()


class Shared(nn.Module):
    """One ReLU module serves every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.relu(self.conv1(x)))).mean(dim=(2, 3))


def test_a_module_that_is_called_at_several_sizes_gives_the_map_of_each() -> None:
    net = Shared()
    _, levels = followed(copy.deepcopy(net), net, "channels")
    assert sizes(levels) == [(4, 4, 32, 32), (8, 8, 16, 16)]
    assert torch.equal(levels[0].teacher_out, net.conv1(EXAMPLE).relu())


class Pooled(nn.Module):
    """Maps of 10x10 only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.AdaptiveAvgPool2d(10), nn.Conv2d(3, 4, 1), nn.ReLU())
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).mean(dim=(2, 3)))


def test_networks_without_a_size_in_common_are_refused_with_both_lists_and_the_way_out() -> None:
    student, teacher = Pooled(), network("resnet8")
    message = (
        r"student's are 10x10 and the teacher's 32x32, 16x16, 8x8; set distill.method to those "
        r"that read logits \(base"
    )
    for features in ("maps", "channels"):
        with pytest.raises(TrialError, match=message):
            check_features(student, teacher, EXAMPLE, features)
        with (
            pytest.raises(TrialError, match=message),
            follow_levels(student, teacher, EXAMPLE, features=features, kept={}),
        ):
            pass
    check_features(student, teacher, EXAMPLE, "none")


def test_a_network_without_maps_is_refused_too() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    with pytest.raises(TrialError, match="student's are none and"):
        check_features(flat, network("resnet8"), EXAMPLE, "maps")


def test_networks_with_one_size_in_common_pass() -> None:
    check_features(network("resnet8"), network("resnet18"), EXAMPLE, "channels")
    assert (4, 4) not in find_levels(network("resnet8"), EXAMPLE)
