"""Mixup (oracle 18, algorithms.md 5.8) and dropout before the classifier."""

import copy
from dataclasses import dataclass, field

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.distillation.protocol import Batch, Distiller
from slimtune.compression.stages import Train
from slimtune.compression.training.loop import Teaching, train_network
from slimtune.compression.training.regularization import dropping_out, mix, mixes_in
from slimtune.workload.types import Architecture, Augmentation, Split, Workload

IMAGES = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_image_is_mixed_with_the_one_whose_label_is_given() -> None:
    mixed = mix(IMAGES, LABELS, 1.0, generator())
    assert sorted(mixed.labels.tolist()) == LABELS.tolist() and 0 < mixed.share < 1
    expected = mixed.share * IMAGES + (1 - mixed.share) * IMAGES[mixed.labels]
    torch.testing.assert_close(mixed.images, expected)


def test_the_share_has_the_beta_distribution() -> None:
    draws = generator()
    shares = [mix(IMAGES[:2, :1, :1, :1], LABELS[:2], 0.4, draws).share for _ in range(400)]
    assert scipy.stats.kstest(shares, scipy.stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_equal_generators_mix_alike_and_the_images_stay_as_they_are() -> None:
    before = IMAGES.clone()
    first, again, other = (mix(IMAGES, LABELS, 1.0, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images) and first.share == again.share
    assert other.share != first.share and torch.equal(IMAGES, before)


def test_channels_last_images_stay_channels_last() -> None:
    mixed = mix(IMAGES.contiguous(memory_format=torch.channels_last), LABELS, 1.0, generator())
    assert mixed.images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("epochs", "plain"), [(1, 0), (9, 0), (10, 1), (25, 2), (100, 10)])
def test_the_last_tenth_of_the_epochs_is_not_mixed(epochs: int, plain: int) -> None:
    mixing = [mixes_in(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert mixing == [True] * (epochs - plain) + [False] * plain


def test_oracle_18_two_losses_by_their_shares_are_one_loss_on_soft_labels() -> None:
    """The worked example: 2.038726 for a share of .3."""
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    first, second = torch.tensor([0, 2]), torch.tensor([2, 0])
    two = 0.3 * F.cross_entropy(logits, first) + 0.7 * F.cross_entropy(logits, second)
    assert two.item() == pytest.approx(2.038726, abs=1e-6)
    soft = 0.3 * F.one_hot(first, 3) + 0.7 * F.one_hot(second, 3)
    assert F.cross_entropy(logits, soft).item() == pytest.approx(two.item(), abs=1e-6)


@dataclass(frozen=True)
class Recorder(Distiller):
    """Notes what it sees, and asks for the teacher."""

    seen: list[Batch] = field(default_factory=list)

    def loss(self, batch: Batch) -> Tensor:
        self.seen.append(batch)
        return batch.hard


class Echo(nn.Module):
    """Notes the images it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 4)
        self.fed: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.fed.append(x)
        return self.linear(x.flatten(1))


def seen_in_training(settings: Train) -> tuple[list[Batch], Echo, Echo]:
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    split = Split(pixels, np.arange(8) % 4)
    student, teacher, recorder = Echo(), Echo(), Recorder()
    workload = Workload(
        dataset="noise", train=split, validation=split, test=split, classes=tuple("abcd"),
        mean=(0.5,) * 3, std=(0.25,) * 3, augmentation=Augmentation(padding=0, flip=False),
        architecture=Architecture("echo", 4, 3), baseline=student,
    )  # fmt: skip
    train_network(student, workload, settings, Teaching(recorder, teacher), generator=generator())
    return recorder.seen, student, teacher


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_oracle_18_training_with_mixup_minimises_the_loss_on_soft_labels(smoothing: float) -> None:
    settings = Train(epochs=3, batch_size=4, mixup=1.0, label_smoothing=smoothing)
    batches, _, _ = seen_in_training(settings)
    assert len(batches) == 6 and len({batch.share for batch in batches}) == 6
    for batch in batches:
        soft = batch.share * F.one_hot(batch.labels, 4)
        soft = soft + (1 - batch.share) * F.one_hot(batch.mixed_labels, 4)
        soft = (1 - smoothing) * soft + smoothing / 4
        expected = F.cross_entropy(batch.student, soft)
        torch.testing.assert_close(batch.hard, expected, rtol=1e-5, atol=1e-6)


def test_oracle_18_without_mixup_the_share_is_one_and_the_loss_is_plain() -> None:
    for batch in seen_in_training(Train(epochs=2, batch_size=4))[0]:
        assert batch.share == 1
        torch.testing.assert_close(batch.hard, F.cross_entropy(batch.student, batch.labels))


def test_the_teacher_is_fed_the_very_images_that_the_student_is_fed() -> None:
    """Never the images as they are, with its logits mixed afterwards."""
    batches, student, teacher = seen_in_training(Train(epochs=1, batch_size=4, mixup=1.0))
    taught = [images for images in teacher.fed if len(images) == 4]
    assert len(taught) == len(batches) == 2
    for images in taught:
        assert any(torch.equal(images, own) for own in student.fed)


def test_progress_runs_from_zero_towards_one() -> None:
    batches, _, _ = seen_in_training(Train(epochs=2, batch_size=4))
    assert [batch.progress for batch in batches] == [0, 0.25, 0.5, 0.75]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4))


def test_dropout_zeroes_a_share_of_what_the_last_layer_reads_and_scales_the_rest() -> None:
    model = network().train()
    fed: list[Tensor] = []
    with dropping_out(model, 0.25, IMAGES):
        model[3].register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
        model(IMAGES.repeat(50, 1, 1, 1))
    plain = model[:3](IMAGES.repeat(50, 1, 1, 1))
    alive = plain > 0
    dropped = (fed[0] == 0) & alive
    assert dropped.sum() / alive.sum() == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(fed[0][alive & ~dropped], plain[alive & ~dropped] / 0.75)


def test_dropout_is_off_in_eval_mode_and_gone_at_the_end_even_after_an_error() -> None:
    model = network().eval()
    plain = model(IMAGES)
    with dropping_out(model, 0.5, IMAGES):
        assert torch.equal(model(IMAGES), plain)
    with pytest.raises(ZeroDivisionError), dropping_out(model, 0.5, IMAGES):
        raise ZeroDivisionError
    assert torch.equal(model.train()(IMAGES), plain)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_dropout_repeats_with_the_global_seed_and_leaves_no_trace_in_the_weights() -> None:
    model = network().train()
    names = list(copy.deepcopy(model).state_dict())
    results = []
    with dropping_out(model, 0.5, IMAGES):
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            results.append(model(IMAGES))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    assert list(model.state_dict()) == names


def test_no_dropout_does_nothing_at_all() -> None:
    model = network()
    with dropping_out(model, 0.0, IMAGES):
        assert not any(module._forward_pre_hooks for module in model.modules())
