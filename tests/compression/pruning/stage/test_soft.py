"""Channels that fade out while a network is trained."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.pipeline import copied
from slimtune.compression.pruning import FPGM, L1, PRUNING
from slimtune.compression.pruning.stage.ranking import keep_count
from slimtune.compression.pruning.stage.schedules import cubic, ramp_epochs
from slimtune.compression.pruning.stage.soft import SoftPruning
from slimtune.compression.pruning.stage.surgery import find_groups
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.fake_quantizers.layers import fake_quantized
from slimtune.compression.stages import Prune, Train
from slimtune.compression.training.loop import (
    Hooks,
    Teaching,
    network_accuracy,
    network_logits,
    train_network,
)
from slimtune.compression.training.optimizers import Learner
from slimtune.workload.augment import normalise
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Workload
from slimtune.workload.zoo.cifar_resnet import CifarResNet

IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8)
SGD = Train(lr=0.02, momentum=0.9, weight_decay=1e-3)
CHANNEL_METHODS = [name for name in PRUNING if PRUNING[name].removes == "channels"]
LEARNED = [name for name in QUANTIZATION if QUANTIZATION[name].trains]


class Concatenating(nn.Module):
    """Two branches side by side, and a norm over both."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 12, 3), nn.Conv2d(3, 8, 3)
        self.norm, self.deep = nn.BatchNorm2d(20), nn.Conv2d(20, 20, 3, groups=20)
        self.point, self.head = nn.Conv2d(20, 16, 1), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(torch.cat([self.left(x), self.right(x)], dim=1)).relu()
        return self.head(self.point(self.deep(x)).relu().mean(dim=(2, 3)))


def resnet8() -> nn.Module:
    torch.manual_seed(0)
    return materialize_shortcuts(CifarResNet(10, 3, depth=8))


def concatenating() -> nn.Module:
    torch.manual_seed(0)
    return Concatenating()


def soft(model: nn.Module, amount: float = 0.5, **settings: object) -> SoftPruning:
    chosen = {"method": L1(), "round_to": 1, "schedule": "soft", **settings}
    return SoftPruning(model, Prune(amount=amount, **chosen), batch=(IMAGES, LABELS), seed=0)  # type: ignore[arg-type]


def trained(
    model: nn.Module,
    hooks: Hooks,
    epochs: int,
    settings: Train = SGD,
    after_epoch: Callable[[int], None] = lambda epoch: None,
    after_step: Callable[[int], None] = lambda epoch: None,
) -> None:
    learner = Learner(model, settings, 3 * epochs)
    for epoch in range(1, epochs + 1):
        learner.train()
        for _ in range(3):
            loss = nn.functional.cross_entropy(model(IMAGES), LABELS)
            learner.step(loss, hooks.after_backward)
            hooks.after_step()
            after_step(epoch)
        hooks.after_epoch(epoch, epochs)
        after_epoch(epoch)
    model.eval()


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(IMAGES)


def zero_filters(layer: nn.Module) -> set[int]:
    weight = layer.weight.detach()  # type: ignore[union-attr, operator]
    return set((weight.flatten(1) == 0).all(dim=1).nonzero().flatten().tolist())


@pytest.mark.parametrize("network", [resnet8, concatenating])
@pytest.mark.parametrize("epochs", [1, 2, 3, 6])
def test_removal_changes_the_size_and_not_the_logits_oracle_2(
    network: Callable[[], nn.Module], epochs: int
) -> None:
    model = network()
    before = {group.name: group.channels for group in find_groups(model, IMAGES[:2])}
    pruner = soft(model, 0.5)
    trained(model, pruner.hooks(), epochs)
    masked = logits(model)
    kept = pruner.remove()
    assert torch.allclose(logits(model), masked, rtol=0, atol=1e-4 * float(masked.abs().max()))
    after = {group.name: group.channels for group in find_groups(model, IMAGES[:2])}
    assert after == {name: keep_count(size, 0.5, 1) for name, size in before.items()}
    assert {name: len(kept[name]) for name in after} == after


@pytest.mark.parametrize("method", [L1(), FPGM()])
def test_the_amount_grows_along_the_cubic_ramp_and_is_reached_oracle_6(method: object) -> None:
    model = resnet8()
    layer, epochs, counts = model.layer3[0].conv1, 10, []
    pruner = soft(model, 0.5, method=method)
    trained(
        model,
        pruner.hooks(),
        epochs,
        after_epoch=lambda _: counts.append(len(zero_filters(layer))),
    )
    full = ramp_epochs(epochs)
    ramp = [64 - keep_count(64, cubic(0.5, epoch / full), 1) for epoch in range(1, full + 1)]
    assert counts == ramp + [32] * (epochs - full)


def test_a_zeroed_filter_can_come_back_and_another_goes() -> None:
    model = resnet8()
    layer = model.layer3[0].conv1
    pruner = soft(model, 0.5)
    hooks = pruner.hooks()
    hooks.after_epoch(1, 4)
    came_back = min(zero_filters(layer))
    with torch.no_grad():
        layer.weight[came_back] = 1.0
    hooks.after_epoch(2, 4)
    assert came_back not in zero_filters(layer) and len(zero_filters(layer)) == 32
    assert came_back in pruner.remove()["layer3.0.conv1"]


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("epochs", [1, 3])
def test_removal_from_a_quantized_network_changes_no_weight_that_stays_oracle_13(
    name: str, epochs: int
) -> None:
    model = QUANTIZATION[name]().prepare(resnet8(), IMAGES)
    pruner = soft(model, 0.5)
    trained(model, pruner.hooks(), epochs)
    masked = logits(model)
    quantized = QUANTIZATION[name]().weights(model, IMAGES)["layer3.0.conv1.weight"].dequantized()
    kept = pruner.remove()
    left = kept["layer3.0.conv1"]
    gone = sorted(set(range(64)) - set(left))
    assert len(gone) == 32 and not quantized[gone].any() and quantized[left].any()
    assert len(fake_quantized(model)) > 0
    assert torch.allclose(logits(model), masked, rtol=0, atol=1e-4 * float(masked.abs().max()))


def test_norms_keep_their_scale_until_the_choice_is_final_and_lose_it_then() -> None:
    model = resnet8()
    norm = model.layer3[0].bn1
    hooks = soft(model, 0.5).hooks()
    hooks.after_epoch(1, 4)
    assert (norm.weight == 1).all()
    hooks.after_epoch(2, 4)
    gone = zero_filters(model.layer3[0].conv1)
    assert set((norm.weight == 0).nonzero().flatten().tolist()) == gone and len(gone) == 32


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "shampoo"])
def test_nothing_moves_once_the_choice_is_final_oracle_10(optimizer: str) -> None:
    model = resnet8()
    layer, norm = model.layer3[0].conv1, model.layer3[0].bn1
    seen = []

    def note(epoch: int) -> None:
        if epoch > ramp_epochs(5):
            seen.append(zero_filters(layer))
            for parameter in (norm.weight, norm.bias):
                assert {i for i, v in enumerate(parameter.tolist()) if v == 0} >= seen[-1]

    settings = Train(optimizer=optimizer, lr=0.01, weight_decay=0.01)  # type: ignore[arg-type]
    pruner = soft(model)
    trained(model, pruner.hooks(), 5, settings, after_step=note)
    assert len(seen) == 9 and all(gone == seen[0] and len(gone) == 32 for gone in seen)


def test_a_zeroed_filter_grows_no_faster_than_the_mean_of_its_layer() -> None:
    model = resnet8()
    layer = model.layer3[0].conv1
    nn.init.constant_(model.layer3[0].bn1.bias, 0.5)  # or ReLU lets no gradient through
    hooks = soft(model, 0.5).hooks()
    hooks.after_epoch(1, 4)
    gone = sorted(zero_filters(layer))
    nn.functional.cross_entropy(model.train()(IMAGES), LABELS).backward()
    raw = layer.weight.grad.clone()
    hooks.after_backward()
    lengths = layer.weight.grad.flatten(1).norm(dim=1)
    others = [i for i in range(64) if i not in gone]
    limit = raw[others].flatten(1).norm(dim=1).mean()
    assert raw[gone].flatten(1).norm(dim=1).max() > 20 * limit  # what batch norm does to zeros
    assert (lengths[gone] <= limit * 1.0001).all() and (lengths[gone] > 0).any()
    assert torch.equal(layer.weight.grad[others], raw[others])


def test_without_any_epoch_removal_still_reaches_the_amount() -> None:
    model = resnet8()
    assert len(soft(model, 0.5).remove()["layer3.0.conv1"]) == 32
    assert model.layer3[0].conv1.out_channels == 32


def test_amount_zero_changes_no_bit() -> None:
    model, untouched = resnet8(), resnet8()
    pruner = soft(model, 0.0)
    pruner.hooks().after_epoch(1, 1)
    assert pruner.remove() == {}
    assert torch.equal(logits(model), logits(untouched))


@pytest.mark.parametrize("name", CHANNEL_METHODS)
def test_every_method_that_scores_channels_can_prune_softly(name: str) -> None:
    model = resnet8()
    pruner = soft(model, 0.5, method=PRUNING[name](), scope="global", round_to=4)
    trained(model, pruner.hooks(), 4)
    masked = logits(model)
    assert pruner.remove()
    assert torch.allclose(logits(model), masked, rtol=0, atol=1e-4 * float(masked.abs().max()))


@pytest.mark.parametrize("scope", ["local", "stage", "global"])
def test_rounding_and_scope_hold_as_for_pruning_at_once(scope: str) -> None:
    model = resnet8()
    pruner = soft(model, 0.5, scope=scope, round_to=8)
    trained(model, pruner.hooks(), 2)
    kept = pruner.remove()
    assert kept and all(len(left) % 8 == 0 for left in kept.values())


def test_digits_are_still_recognised_after_half_of_the_channels_faded_out(
    digits: Workload,
) -> None:
    model = copied(digits.baseline, digits.image_shape)
    batch = (
        normalise(torch.from_numpy(digits.train.images[:64]), digits.mean, digits.std),
        torch.from_numpy(digits.train.labels[:64]),
    )
    settings = Prune(method=FPGM(), amount=0.5, round_to=1, schedule="soft")
    pruner = SoftPruning(model, settings, batch=batch, seed=0)
    train_network(
        model,
        digits,
        Train(epochs=5, lr=0.03, batch_size=64),
        Teaching(),
        generator=torch.Generator().manual_seed(0),
        hooks=pruner.hooks(),
    )
    masked = network_logits(copy.deepcopy(model), digits.test.images, digits)
    pruner.remove()
    assert torch.allclose(network_logits(model, digits.test.images, digits), masked, atol=1e-4)
    assert network_accuracy(model, digits.test, digits) > 0.8
