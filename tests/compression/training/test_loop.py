import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from slimtune.compression.distillation import DISTILLATION, BaseDistillation
from slimtune.compression.distillation.protocol import Batch
from slimtune.compression.stages import Train
from slimtune.compression.training.cached_logits import without_cache
from slimtune.compression.training.loop import (
    Epoch,
    Hooks,
    Teaching,
    history_csv,
    network_accuracy,
    network_logits,
    train_network,
)
from slimtune.compression.training.teaching import cached_logits_of
from slimtune.conditions import Conditions, Precision
from slimtune.errors import NonFiniteError
from slimtune.workload.types import Augmentation, Workload


def train(
    workload: Workload,
    settings: Train,
    seed: int = 0,
    *,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    precision: Precision = "float32",
    **teaching: Any,
) -> tuple[nn.Module, list[Epoch]]:
    model = copy.deepcopy(workload.baseline)
    history = train_network(
        model,
        workload,
        settings,
        Teaching(**teaching),
        generator=torch.Generator().manual_seed(seed),
        hooks=Hooks(on_epoch=on_epoch),
        precision=precision,
    )
    return model, history


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_few_epochs_from_scratch_learn_digits(digits: Workload) -> None:
    assert network_accuracy(digits.baseline, digits.test, digits) > 0.9


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(digits: Workload) -> None:
    settings = Train(epochs=1, batch_size=256)
    first, again, other = (train(digits, settings, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_the_learning_rate_falls_as_a_cosine_to_zero(digits: Workload) -> None:
    _, history = train(digits, Train(epochs=4, lr=0.01, batch_size=512))
    steps = -(-len(digits.train) // 512)
    for epoch in history:  # the rate of the epoch's last step
        expected = 0.01 * (1 + np.cos(np.pi * (epoch.epoch * steps - 1) / (4 * steps))) / 2
        assert epoch.lr == pytest.approx(expected, rel=1e-6)


def test_every_epoch_is_reported_as_it_ends(digits: Workload) -> None:
    seen: list[Epoch] = []
    _, history = train(digits, Train(epochs=2, batch_size=512), on_epoch=seen.append)
    assert seen == history and [epoch.epoch for epoch in history] == [1, 2]


def test_the_network_is_left_in_eval_mode_and_frozen_parameters_stay(digits: Workload) -> None:
    model = copy.deepcopy(digits.baseline)
    first = next(model.parameters()).requires_grad_(False)
    before = first.clone()
    train_network(
        model, digits, Train(epochs=1, batch_size=512), Teaching(), generator=torch.Generator()
    )
    assert not model.training and torch.equal(first, before)


def test_weight_decay_shrinks_filters_and_leaves_norms_alone(digits: Workload) -> None:
    """With a learning rate too small to learn, only the decay of a huge factor moves weights."""
    settings = Train(epochs=1, lr=1e-6, weight_decay=1.0, momentum=0.0, batch_size=512)
    model, _ = train(digits, settings)
    plain, _ = train(digits, settings.__class__(**{**vars_of(settings), "weight_decay": 0.0}))
    for (name, decayed), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        if decayed.ndim > 1:
            assert decayed.norm() < other.norm(), name
        else:
            torch.testing.assert_close(decayed, other, rtol=0, atol=1e-6)


def vars_of(settings: Train) -> dict[str, float]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def test_a_teacher_is_asked_without_gradient_and_changes_the_result(digits: Workload) -> None:
    teacher = copy.deepcopy(digits.baseline).eval()
    settings = Train(epochs=1, batch_size=512)
    plain, _ = train(digits, settings)
    taught, _ = train(digits, settings, distiller=BaseDistillation(), teacher=teacher)
    assert not torch.equal(weights(plain), weights(taught))
    assert torch.equal(weights(teacher), weights(digits.baseline))
    assert all(p.grad is None for p in teacher.parameters())


def test_a_diverging_loss_is_reported_with_the_way_out(digits: Workload) -> None:
    broken = copy.deepcopy(digits.baseline)
    next(broken.parameters()).data.fill_(float("nan"))
    told = r"became nan in epoch 1 of 1; lower the learning rate \(0.01\)$"
    with pytest.raises(NonFiniteError, match=told):
        train(replace(digits, baseline=broken), Train(epochs=1))


def test_logits_do_not_depend_on_the_batch_they_are_computed_in(digits: Workload) -> None:
    images = digits.test.images[:37]
    whole = network_logits(digits.baseline, images, digits)
    parts = network_logits(digits.baseline, images, digits, batch=5)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-4)
    assert whole.shape == (37, 10)


def test_the_history_is_one_csv_line_an_epoch() -> None:
    text = history_csv([Epoch(1, 0.5, 0.1, 0.9), Epoch(2, 0.25, 0.0, 0.95)])
    assert text == "epoch,loss,lr,validation_accuracy\n1,0.5,0.1,0.9\n2,0.25,0.0,0.95\n"
    assert history_csv([]) == "epoch,loss,lr,validation_accuracy\n"


def test_short_numbers_repeat_bit_for_bit_and_learn_as_well(digits: Workload) -> None:
    settings = Train(epochs=1, batch_size=256)
    first, again, long = (
        train(digits, settings, precision=precision)[0]
        for precision in ("bfloat16", "bfloat16", "float32")
    )
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(long))
    assert {p.dtype for p in first.state_dict().values()} == {torch.float32, torch.int64}
    ours, theirs = (network_accuracy(model, digits.test, digits) for model in (first, long))
    assert abs(ours - theirs) < 0.03


@pytest.mark.parametrize("name", sorted(DISTILLATION))
def test_every_distillation_method_computes_its_loss_in_float32(
    digits: Workload, name: str
) -> None:
    class Watched(type(DISTILLATION[name]())):  # type: ignore[misc]
        def loss(self, batch: Batch) -> torch.Tensor:
            maps = [value for level in batch.levels for value in vars(level).values()]
            told = [] if batch.teacher is None else [batch.teacher]
            seen.update(value.dtype for value in (batch.hard, batch.student, *told, *maps))
            return super().loss(batch)

    seen: set[torch.dtype] = set()
    teacher = copy.deepcopy(digits.baseline)
    few = replace(digits, train=digits.train.take(np.arange(64)))
    train(
        few, Train(epochs=1, batch_size=32), distiller=Watched(), teacher=teacher,
        precision="bfloat16",
    )  # fmt: skip
    assert seen == {torch.float32}


def test_cached_logits_replace_the_teacher_and_continue_from_stage_to_stage(
    digits: Workload,
) -> None:
    computed: list[int] = []

    def cache(view: int, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        computed.append(view)
        return compute()

    cached_logits = cached_logits_of(digits, Conditions(seed=3, views=8), cache)
    settings = Train(epochs=2, batch_size=512)
    taught, _ = train(
        digits,
        settings,
        distiller=BaseDistillation(),
        cached_logits=cached_logits,
        epochs_before=5,
    )
    assert computed == [5, 6]
    again, _ = train(
        digits,
        settings,
        distiller=BaseDistillation(),
        cached_logits=cached_logits,
        epochs_before=5,
    )
    other, _ = train(digits, settings, distiller=BaseDistillation(), cached_logits=cached_logits)
    assert torch.equal(weights(taught), weights(again)) and computed == [5, 6, 0, 1]
    assert not torch.equal(weights(taught), weights(other))


def test_without_augmentation_cached_logits_change_no_more_than_half_precision_does(
    digits: Workload,
) -> None:
    still = replace(digits, augmentation=Augmentation())
    cached_logits = cached_logits_of(still, Conditions(seed=0, views=8), without_cache)
    settings = Train(epochs=1, batch_size=512)
    kept, _ = train(still, settings, distiller=BaseDistillation(), cached_logits=cached_logits)
    online, _ = train(
        still, settings, distiller=BaseDistillation(), teacher=copy.deepcopy(still.baseline)
    )
    torch.testing.assert_close(weights(kept), weights(online), rtol=1e-2, atol=1e-3)
