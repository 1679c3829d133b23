"""The whole pruning stage on small networks."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from slimtune.compression.pruning import FPGM, L1, NM, PRUNING, L1Unstructured
from slimtune.compression.pruning.protocol import ChannelGroup, ChannelPruning
from slimtune.compression.pruning.stage.ranking import keep_count
from slimtune.compression.pruning.stage.stage import channel_groups, prune
from slimtune.compression.pruning.stage.surgery import find_groups
from slimtune.compression.stages import Prune
from slimtune.errors import PruningError
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.zoo.cifar_resnet import CifarResNet

EXAMPLE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = (EXAMPLE, torch.tensor([0, 1]))
CHANNEL_METHODS = [name for name in PRUNING if PRUNING[name].removes == "channels"]


def resnet8() -> nn.Module:
    torch.manual_seed(0)
    return materialize_shortcuts(CifarResNet(10, 3, depth=8)).eval()


def plain(width: int = 20) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


def cut(
    model: nn.Module,
    amount: float,
    method: object = L1(),
    scope: str = "local",
    round_to: int = 1,
    recover: object = None,
    **schedule: object,
) -> dict[str, list[int]]:
    settings = Prune(
        method=method,
        amount=amount,
        scope=scope,
        round_to=round_to,
        **schedule,  # type: ignore[arg-type]
    )
    options = {} if recover is None else {"recover": recover}
    return prune(model, settings, batch=BATCH, **options)  # type: ignore[arg-type]


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
    assert sizes(model) == expected == {name: len(kept[name]) for name in expected}
    for name, layer in model.named_modules():
        assert name not in kept or layer.out_channels == len(kept[name])


def test_the_weights_that_stay_are_the_ones_reported_as_kept() -> None:
    model = plain()
    weight, sums = model[0].weight.detach().clone(), model[0].weight.detach().abs().sum((1, 2, 3))
    kept = cut(model, 0.5)["0"]
    assert sorted(kept) == sorted(sums.topk(10).indices.tolist())
    assert torch.equal(model[0].weight, weight[kept])
    assert model[5].in_features == 10


@pytest.mark.parametrize("method", [L1(), L1Unstructured(), NM()])
@pytest.mark.parametrize("schedule", ["one_shot", "incremental"])
def test_amount_zero_changes_no_bit_and_reports_nothing_cut(method: object, schedule: str) -> None:
    model, untouched = resnet8(), resnet8()
    assert cut(model, 0.0, method=method, round_to=8, schedule=schedule) == {}
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
@pytest.mark.parametrize("schedule", [{}, {"schedule": "incremental", "steps": 2}])
def test_two_stages_of_20_percent_reach_40_percent_oracle_6(
    method: object, schedule: dict[str, object]
) -> None:
    model = plain()
    kept = cut(model, 0.4, method=method, **schedule)["0"]
    assert len(kept) == 12 == len(set(kept)) and model[0].out_channels == 12


@pytest.mark.parametrize(
    ("scope", "round_to"), [("local", 1), ("local", 8), ("stage", 4), ("global", 4)]
)
def test_each_step_of_several_reaches_its_share_and_never_gives_back(
    scope: str, round_to: int
) -> None:
    model = resnet8()
    before, seen = sizes(model), []

    def recover(network: nn.Module, kept: dict[str, list[int]], step: int) -> None:
        assert network is model and step == len(seen) + 1
        assert sizes(model) == {**before, **{n: len(kept[n]) for n in before if n in kept}}
        seen.append(kept)

    seen.append(cut(model, 0.6, FPGM(), scope, round_to, recover, schedule="incremental", steps=3))
    assert len(seen) == 3
    for step, kept in enumerate(seen, start=1):
        if scope == "local":
            for name, size in before.items():
                expected = keep_count(size, 0.6 * step / 3, round_to)
                assert len(kept.get(name, range(size))) == expected
        for name, left in kept.items():
            later = seen[min(step, 2)][name]
            assert set(later) <= set(left) and left == sorted(left)


@pytest.mark.parametrize("name", CHANNEL_METHODS)
def test_every_method_that_scores_channels_can_go_in_steps(name: str) -> None:
    model = resnet8()
    kept = cut(model, 0.5, PRUNING[name](), "global", 4, schedule="incremental", steps=2)
    assert kept and all(parameter.grad is None for parameter in model.parameters())
    assert sum(sizes(model).values()) == pytest.approx(
        0.5 * sum(sizes(resnet8()).values()), abs=14
    )


def test_indices_kept_after_several_steps_are_those_of_the_original_layer() -> None:
    model = plain()
    weight = model[0].weight.detach().clone()
    kept = cut(model, 0.6, schedule="incremental", steps=4)["0"]
    assert torch.equal(model[0].weight, weight[kept])
    assert kept == cut(plain(), 0.6)["0"]  # L1 ranks the rest as it ranked all


def test_single_weights_become_zero_as_in_torch_and_layers_keep_their_size() -> None:
    model, other = resnet8(), resnet8()
    before = sizes(model)
    assert cut(model, 0.7, method=L1Unstructured(ends=True), scope="global") == {}
    layers = [m for m in other.modules() if isinstance(m, nn.Linear) or type(m) is nn.Conv2d]
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in layers], torch_prune.L1Unstructured, amount=0.7
    )
    theirs = dict(other.named_modules())
    for name, layer in model.named_modules():
        if theirs[name] in layers:
            assert torch.equal(layer.weight, theirs[name].weight)
    assert sizes(model) == before
    shortcut = model.layer2[0].shortcut.weight
    assert torch.equal(shortcut, resnet8().layer2[0].shortcut.weight)


def test_single_weights_go_in_steps_of_all_weights_zeros_included() -> None:
    model, counts = resnet8(), []
    weight = model.layer1[0].conv1.weight

    def recover(network: nn.Module, kept: dict[str, list[int]], step: int) -> None:
        assert kept == {}
        counts.append(int((weight == 0).sum()))

    method = L1Unstructured()
    cut(model, 0.6, method, recover=recover, schedule="incremental", steps=3)
    counts.append(int((weight == 0).sum()))
    assert counts == [round(weight.numel() * share) for share in (0.2, 0.4, 0.6)]


def test_an_n_m_pattern_halves_every_layer_but_the_first_whatever_the_amount() -> None:
    model = resnet8()
    cut(model, 0.1, method=NM())
    assert (model.layer1[0].conv1.weight == 0).float().mean() == 0.5
    assert (model.conv1.weight != 0).all()


class ByGradient(ChannelPruning):
    """Scores by |sum of gradient times weight|; notes whether gradients were there."""

    needs_gradients = True

    def scores(self, group: ChannelGroup) -> Tensor:
        weight = group.producers[0][1].weight
        assert isinstance(weight, nn.Parameter) and weight.grad is not None
        return (weight.grad * weight).flatten(1).sum(dim=1).abs()


def test_a_method_that_wants_gradients_gets_them_and_none_are_left() -> None:
    model = plain().eval()
    loss = nn.functional.cross_entropy(model(BATCH[0]), BATCH[1])
    (gradient,) = torch.autograd.grad(loss, model[0].weight)
    scores = (gradient * model[0].weight).flatten(1).sum(dim=1).abs()
    kept = cut(model, 0.5, method=ByGradient())["0"]
    assert sorted(kept) == sorted(scores.topk(10).indices.tolist())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_groups_know_their_level_and_the_seed_of_the_trial() -> None:
    groups = {group.name: group for group in channel_groups(resnet8(), EXAMPLE, 7)}
    levels = {name: groups[f"{name}.0.conv1"].level for name in ("layer1", "layer2", "layer3")}
    assert levels == {"layer1": 0, "layer2": 1, "layer3": 2}
    assert all(group.seed == 7 for group in groups.values())


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
    class TooFew(ChannelPruning):
        def scores(self, group: ChannelGroup) -> Tensor:
            return torch.ones(group.channels - 1)

    with pytest.raises(PruningError, match=r"0: a method must return 20 scores, .* \(19,\)"):
        cut(plain(), 0.5, method=TooFew())
