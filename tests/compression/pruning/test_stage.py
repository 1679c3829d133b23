"""The whole pruning stage on small networks."""

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.pruning import FPGM, L1
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.ranking import keep_count
from slimtune.compression.pruning.stage import prune
from slimtune.compression.pruning.surgery import find_groups
from slimtune.errors import PruningError
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.zoo.cifar_resnet import CifarResNet

EXAMPLE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def resnet8() -> nn.Module:
    torch.manual_seed(0)
    return materialize_shortcuts(CifarResNet(10, 3, depth=8)).eval()


def plain(width: int = 20) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


def cut(model: nn.Module, amount: float, **options: object) -> dict[str, list[int]]:
    settings = {"method": L1(), "scope": "local", "round_to": 1, "example": EXAMPLE, **options}
    return prune(model, amount=amount, **settings)  # type: ignore[arg-type]


def sizes(model: nn.Module) -> dict[str, int]:
    return {group.name: group.channels for group in find_groups(model, EXAMPLE)}


def macs(model: nn.Module) -> int:
    counts = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, _, output: counts.append(layer.weight[0].numel() * output[0].numel())
        )
        for layer in model.modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad():
        model(EXAMPLE)
    for hook in hooks:
        hook.remove()
    return sum(counts)


@pytest.mark.parametrize("method", [L1(), FPGM()])
@pytest.mark.parametrize("round_to", [1, 8])
def test_every_group_has_exactly_the_channels_asked_for(method: object, round_to: int) -> None:
    model = resnet8()
    before = sizes(model)
    kept = cut(model, 0.6, method=method, round_to=round_to)
    expected = {name: keep_count(size, 0.6, round_to) for name, size in before.items()}
    assert sizes(model) == expected == {name: len(indices) for name, indices in kept.items()}


def test_the_weights_that_stay_are_the_ones_reported_as_kept() -> None:
    model = plain()
    weight, sums = model[0].weight.detach().clone(), model[0].weight.detach().abs().sum((1, 2, 3))
    kept = cut(model, 0.5)["0"]
    assert sorted(kept) == sorted(sums.topk(10).indices.tolist())
    assert torch.equal(model[0].weight, weight[kept])
    assert model[5].in_features == 10


def test_amount_zero_changes_no_bit_and_reports_every_channel_as_kept() -> None:
    model, untouched = resnet8(), resnet8()
    kept = cut(model, 0.0, round_to=8)
    assert all(indices == list(range(len(indices))) for indices in kept.values())
    assert sizes(model) == sizes(untouched)
    with torch.no_grad():
        assert torch.equal(model(EXAMPLE), untouched(EXAMPLE))


@pytest.mark.parametrize("scope", ["local", "global"])
def test_more_pruning_never_costs_more_multiplications(scope: str) -> None:
    costs = []
    for amount in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9):
        model = resnet8()
        cut(model, amount, scope=scope, round_to=4)
        costs.append(macs(model))
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.15 * costs[0]


def test_half_of_a_resnet20_has_the_parameters_that_the_reference_counts() -> None:
    model = materialize_shortcuts(CifarResNet(10, 3, depth=20))
    cut(model, 0.5, method=FPGM())
    assert sum(p.numel() for p in model.parameters()) == 68_690  # 640 of them 0/1 selections


@pytest.mark.parametrize("scope", ["local", "global"])
def test_tied_scores_still_give_exact_counts(scope: str) -> None:
    model = plain()
    nn.init.constant_(model[0].weight, 0.5)
    assert cut(model, 0.4, scope=scope) == {"0": list(range(8, 20))}


@pytest.mark.parametrize("method", [L1(), FPGM()])
def test_two_rounds_reach_the_cumulative_count(method: object) -> None:
    model = plain()
    assert len(cut(model, 0.2, method=method)["0"]) == 16
    assert len(cut(model, 0.25, method=method)["0"]) == 12
    with torch.no_grad():
        assert model.eval()(EXAMPLE).shape == (2, 10)


def test_a_pruned_network_trains() -> None:
    model = resnet8().train()
    cut(model, 0.5)
    frozen = model.layer2[0].shortcut.weight
    before = frozen.clone()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    nn.functional.cross_entropy(model(EXAMPLE), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert torch.equal(frozen, before)
    assert set(frozen.unique().tolist()) <= {0.0, 1.0}


def test_a_method_that_returns_the_wrong_number_of_scores_is_refused() -> None:
    class TooFew:
        def scores(self, group: ChannelGroup) -> Tensor:
            return torch.ones(group.channels - 1)

    with pytest.raises(PruningError, match=r"0: a method must return 20 scores, .* \(19,\)"):
        cut(plain(), 0.5, method=TooFew())
