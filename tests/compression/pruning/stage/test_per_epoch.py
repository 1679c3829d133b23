"""A share of what is left goes after every epoch: SPQ as published."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from slimtune.compression.pruning import FPGM, L1, PRUNING
from slimtune.compression.pruning.stage.per_epoch import PerEpochPruning, while_training
from slimtune.compression.pruning.stage.ranking import keep_count
from slimtune.compression.pruning.stage.schedules import gone_after
from slimtune.compression.pruning.stage.soft import SoftPruning
from slimtune.compression.pruning.stage.surgery import find_groups
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.fake_quantizers.layers import fake_quantized
from slimtune.compression.stages import Prune, Train
from slimtune.compression.training.optimizers import Learner
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.zoo.cifar_resnet import CifarResNet

IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8)
CHANNEL_METHODS = [name for name in PRUNING if PRUNING[name].removes == "channels"]
LEARNED = [name for name in QUANTIZATION if QUANTIZATION[name].trains]


def resnet8() -> nn.Module:
    torch.manual_seed(0)
    return materialize_shortcuts(CifarResNet(10, 3, depth=8))


def per_epoch(model: nn.Module, rate: float = 0.05, **settings: object) -> SoftPruning:
    chosen = {"method": FPGM(), "round_to": 1, "schedule": "per_epoch", **settings}
    return while_training(model, Prune(rate=rate, **chosen), batch=(IMAGES, LABELS), seed=0)  # type: ignore[arg-type]


def trained(model: nn.Module, pruner: SoftPruning, epochs: int) -> list[set[int]]:
    """Train two steps an epoch; return the dead filters of one layer after each epoch."""
    hooks, dead = pruner.hooks(), []
    learner = Learner(model, Train(lr=0.02, weight_decay=1e-3), 2 * epochs)
    for epoch in range(1, epochs + 1):
        learner.train()
        for _ in range(2):
            loss = nn.functional.cross_entropy(model(IMAGES), LABELS)
            learner.step(loss, hooks.after_backward)
            hooks.after_step()
        hooks.after_epoch(epoch, epochs)
        weight = model.layer3[0].conv1.weight.detach().flatten(1)
        dead.append(set((weight == 0).all(dim=1).nonzero().flatten().tolist()))
    model.eval()
    return dead


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(IMAGES)


@pytest.mark.parametrize(("epochs", "left"), [(1, 61), (2, 58), (5, 50), (14, 31), (20, 23)])
def test_n_times_95_percent_to_the_power_of_the_epochs_are_left(epochs: int, left: int) -> None:
    model = resnet8()
    pruner = per_epoch(model)
    for epoch in range(1, epochs + 1):
        pruner.hooks().after_epoch(epoch, epochs)
    assert left == round(64 * 0.95**epochs)
    assert len(pruner.remove()["layer3.0.conv1"]) == left == model.layer3[0].conv1.out_channels
    for group in find_groups(model, IMAGES[:2]):
        whole = 64 if "layer3" in group.name else 32 if "layer2" in group.name else 16
        assert group.channels == round(whole * 0.95**epochs)


@given(st.integers(1, 512), st.floats(0.01, 0.5), st.integers(1, 200))
def test_a_channel_is_left_however_many_epochs_there_are(n: int, rate: float, e: int) -> None:
    left = keep_count(n, gone_after(rate, e), 1)
    assert max(1, n * (1 - rate) ** e - 0.51) <= left <= n * (1 - rate) ** e + 1


@pytest.mark.parametrize("method", [L1(), FPGM()])
def test_what_has_gone_stays_gone_while_the_network_is_trained(method: object) -> None:
    model = resnet8()
    dead = trained(model, per_epoch(model, 0.2, method=method), 6)
    assert [len(gone) for gone in dead] == [64 - round(64 * 0.8**e) for e in range(1, 7)]
    assert all(before <= after for before, after in zip(dead, dead[1:], strict=False))


def test_those_still_there_are_ranked_among_themselves() -> None:
    """Filters of zeros lie near the median of the others: FPGM would choose them, or shift."""
    model = resnet8()
    pruner = per_epoch(model, 0.3)
    expected: set[int] = set()
    for epoch in (1, 2, 3):
        weights = model.layer3[0].conv1.weight.detach().flatten(1).clone()  # without what is gone
        pruner.hooks().after_epoch(epoch, 3)
        live = sorted(set(range(64)) - expected)
        distances = torch.cdist(weights[live], weights[live]).sum(1)
        more = 64 - round(64 * 0.7**epoch) - len(expected)
        expected |= {live[i] for i in distances.argsort(stable=True)[:more].tolist()}
    assert set(range(64)) - set(pruner.remove()["layer3.0.conv1"]) == expected


@pytest.mark.parametrize("name", LEARNED)
def test_removal_from_a_quantized_network_changes_the_size_and_not_the_logits(name: str) -> None:
    model = QUANTIZATION[name]().prepare(resnet8(), IMAGES)
    pruner = per_epoch(model, 0.2)
    trained(model, pruner, 3)
    masked = logits(model)
    pruner.remove()
    assert model.layer3[0].conv1.out_channels == round(64 * 0.8**3)
    assert len(fake_quantized(model)) > 0
    assert torch.allclose(logits(model), masked, rtol=0, atol=1e-4 * float(masked.abs().max()))


@pytest.mark.parametrize("name", CHANNEL_METHODS)
@pytest.mark.parametrize("scope", ["local", "global"])
def test_every_method_and_scope_can_prune_by_the_epoch(name: str, scope: str) -> None:
    model = resnet8()
    pruner = per_epoch(model, 0.3, method=PRUNING[name](), scope=scope, round_to=4)
    trained(model, pruner, 2)
    masked = logits(model)
    kept = pruner.remove()
    assert kept and all(len(left) % 4 == 0 for left in kept.values())
    assert torch.allclose(logits(model), masked, rtol=0, atol=1e-4 * float(masked.abs().max()))


def test_other_schedules_still_go_softly() -> None:
    model = resnet8()
    soft = per_epoch(copy.deepcopy(model), schedule="soft")
    assert type(soft) is SoftPruning and type(per_epoch(model)) is PerEpochPruning
