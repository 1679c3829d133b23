"""Surgery against a network in which the same channels are silenced, not removed."""

import copy
from collections.abc import Callable, Sequence

import pytest
import torch
import torchvision
from torch import Tensor, nn

from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.stage.surgery import check_prunable, find_groups, remove_channels
from slimtune.errors import PruningError
from slimtune.workload.shortcut import SelectionConv2d, materialize_shortcuts
from slimtune.workload.zoo.cifar_resnet import CifarResNet

EXAMPLE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Dense(nn.Module):
    """Two convolutions, concatenated, then normalised together."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(14)
        self.c = nn.Conv2d(14, 10, 3, padding=1)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        x = torch.cat([self.b(a), a], dim=1)  # b comes first: positions shift by b's channels
        return self.head(torch.relu(self.c(torch.relu(self.norm(x)))).mean((2, 3)))


class Flat(nn.Module):
    """A convolution flattened with its positions into a linear layer."""

    def __init__(self, flatten: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.hidden, self.head = nn.Linear(32, 12), nn.Linear(12, 4)
        self.flatten = flatten

    def forward(self, x: Tensor) -> Tensor:
        x = self.flatten(self.pool(torch.relu(self.conv(x))))
        return self.head(torch.relu(self.hidden(x)))


class Body(nn.Module):
    """A stem, a body of one's choice, and a head, to put odd layers into."""

    def __init__(self, body: Callable[[Tensor], Tensor], width: int = 8) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, width, 1), body
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).mean((2, 3)))


def lively(build: Callable[[], nn.Module]) -> nn.Module:
    """Build with batch-norm statistics and weights that a wrong index would betray."""
    torch.manual_seed(1)
    model = build()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
    return materialize_shortcuts(model).eval()


def resnet20() -> nn.Module:
    return lively(lambda: CifarResNet(10, 3, depth=20))


def mobilenet() -> nn.Module:
    return lively(lambda: torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25))


def bottleneck() -> nn.Module:
    block = torchvision.models.resnet.Bottleneck
    return lively(lambda: torchvision.models.ResNet(block, [1, 2, 1, 1], num_classes=10))


def outputs(model: nn.Module, example: Tensor = EXAMPLE) -> Tensor:
    with torch.no_grad():
        return model(example)


def some(group: ChannelGroup) -> list[int]:
    """Pick a third of the channels, spread unevenly."""
    order = torch.randperm(group.channels, generator=torch.Generator().manual_seed(7))
    return order[: group.channels // 3].tolist()


def silence(group: ChannelGroup, indices: Sequence[int]) -> None:
    """Make channels zero wherever the group's layers write them."""
    for _, layer in (*group.producers, *group.norms):
        layer.weight.data[indices] = 0
        if layer.bias is not None:
            layer.bias.data[indices] = 0


def macs(model: nn.Module) -> int:
    counts = []

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        counts.append(layer.weight[0].numel() * output[0].numel())

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [m.register_forward_hook(count) for m in layers]
    outputs(model)
    for hook in hooks:
        hook.remove()
    return sum(counts)


@pytest.mark.parametrize("build", [resnet20, bottleneck, mobilenet])
def test_removing_channels_equals_silencing_them(build: Callable[[], nn.Module]) -> None:
    silenced, cut = build(), build()
    before = outputs(cut)
    removals = {}
    for group in find_groups(silenced, EXAMPLE):
        removals[group.name] = some(group)
        silence(group, removals[group.name])
    # a padded shortcut writes into the stage's residual stream without being a producer
    for stage in ("layer2", "layer3") if build is resnet20 else ():
        shortcut = silenced.get_submodule(f"{stage}.0.shortcut")
        shortcut.weight.data[removals[f"{stage}.0.conv2"]] = 0
    remove_channels(cut, EXAMPLE, removals)
    torch.testing.assert_close(outputs(cut), outputs(silenced), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(outputs(cut), before, rtol=1e-2, atol=1e-2)
    assert macs(cut) < 0.7 * macs(silenced)


def test_removal_before_a_concatenation_takes_the_right_positions() -> None:
    silenced, cut = lively(Dense), lively(Dense)
    remove_channels(cut, EXAMPLE, {"a": [1, 5, 6], "b": [0, 4], "c": [9]})
    gone = [0, 4, 6 + 1, 6 + 5, 6 + 6]  # within the concatenation: b's 6 channels, then a's 8
    silenced.norm.weight.data[gone] = 0
    silenced.norm.bias.data[gone] = 0
    silenced.a.weight.data[[1, 5, 6]] = 0
    silenced.a.bias.data[[1, 5, 6]] = 0
    silenced.c.weight.data[9] = 0
    silenced.c.bias.data[9] = 0
    torch.testing.assert_close(outputs(cut), outputs(silenced), rtol=1e-5, atol=1e-5)
    assert (cut.norm.num_features, cut.c.in_channels, cut.head.in_features) == (9, 9, 9)


def test_a_norm_shared_with_another_group_is_listed_apart_with_its_positions() -> None:
    groups = {group.name: group for group in find_groups(lively(Dense), EXAMPLE)}
    assert [groups[name].norms for name in "abc"] == [(), (), ()]
    shared = [[name for name, _ in groups[key].shared_norms] for key in "abc"]
    assert shared == [["norm"], ["norm"], []]
    assert groups["a"].positions["norm"] == groups["a"].positions["c"] == tuple(range(6, 14))
    assert groups["b"].positions["norm"] == tuple(range(6))
    assert [name for name, _ in groups["a"].consumers] == ["b", "c"]


def test_a_flattened_convolution_takes_its_positions_with_it() -> None:
    cut = Flat(lambda x: x.flatten(1)).eval()
    silenced = copy.deepcopy(cut)
    (conv, hidden) = find_groups(cut, EXAMPLE)
    assert (conv.channels, hidden.channels) == (8, 12)
    assert conv.positions["hidden"] == tuple(range(32))  # four to a channel
    remove_channels(cut, EXAMPLE, {"conv": [2, 3], "hidden": [11]})
    silence(find_groups(silenced, EXAMPLE)[0], [2, 3])
    silence(find_groups(silenced, EXAMPLE)[1], [11])
    torch.testing.assert_close(outputs(cut), outputs(silenced), rtol=1e-5, atol=1e-5)
    assert cut.hidden.in_features == 6 * 4


def test_every_convolution_of_an_option_a_net_is_in_a_group() -> None:
    model = resnet20()
    groups = find_groups(model, EXAMPLE)
    assert [g.name for g in groups][:3] == ["conv1", "layer1.0.conv1", "layer1.1.conv1"]
    assert [g.channels for g in groups] == [16] * 4 + [32] * 4 + [64] * 4
    producers = [name for group in groups for name, _ in group.producers]
    real = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and not isinstance(module, SelectionConv2d)
    ]
    assert sorted(producers) == sorted(real)
    stem = groups[0]
    assert [n for n, _ in stem.producers] == ["conv1"] + [f"layer1.{i}.conv2" for i in range(3)]
    assert [n for n, _ in stem.norms] == ["bn1"] + [f"layer1.{i}.bn2" for i in range(3)]
    assert "layer2.0.shortcut" in [n for n, _ in stem.consumers]


def test_depthwise_convolutions_are_neither_producers_nor_consumers() -> None:
    model = mobilenet()
    for group in find_groups(model, EXAMPLE):
        listed = [layer for _, layer in (*group.producers, *group.consumers)]
        assert all(getattr(layer, "groups", 1) == 1 for layer in listed)


def test_modes_and_flags_are_as_before() -> None:
    model = resnet20().train()
    model.bn1.eval()
    model.conv1.weight.requires_grad_(False)
    modes = {name: module.training for name, module in model.named_modules()}
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    assert not flags["layer2.0.shortcut.weight"]
    check_prunable(model, EXAMPLE)
    remove_channels(model, EXAMPLE, {g.name: some(g) for g in find_groups(model, EXAMPLE)})
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags


def test_a_network_that_draws_random_numbers_leaves_the_callers_alone() -> None:
    model = Body(lambda x: x + 0 * torch.rand_like(x))  # in eval mode as well
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    remove_channels(model, EXAMPLE, {find_groups(model, EXAMPLE)[0].name: [1]})
    assert torch.equal(torch.rand(4), expected)


def test_looking_does_not_change_a_single_bit() -> None:
    model = mobilenet().train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    find_groups(model, EXAMPLE)
    check_prunable(model, EXAMPLE)
    remove_channels(model, EXAMPLE, {group.name: [] for group in find_groups(model, EXAMPLE)})
    assert all(torch.equal(before[key], t) for key, t in model.state_dict().items())


def test_a_frozen_network_under_inference_mode_is_pruned_all_the_same() -> None:
    model = resnet20().requires_grad_(False)
    with torch.inference_mode():
        remove_channels(model, EXAMPLE, {"conv1": [0]})
    assert model.conv1.out_channels == 15
    assert not any(p.requires_grad for p in model.parameters())


def test_repeated_indices_count_once() -> None:
    model = resnet20()
    remove_channels(model, EXAMPLE, {"conv1": [3, 3, 0, 3]})
    assert model.conv1.weight.shape[0] == model.conv1.out_channels == 14


@pytest.mark.parametrize(
    ("removals", "message"),
    [
        ({"conv": [0]}, "no group of channels is called 'conv'. Did you mean 'conv1'"),
        ({"conv1": [16]}, "conv1: channel indices must be in 0..15"),
        ({"conv1": [-1]}, "conv1: channel indices must be in 0..15"),
        ({"conv1": list(range(16))}, "conv1: all 16 channels would be removed; keep at least 1"),
        ({"layer1.0.conv1": [1], "linear": [0]}, "no group of channels is called 'linear'"),
    ],
)
def test_bad_removals_are_refused_and_nothing_is_cut(
    removals: dict[str, list[int]], message: str
) -> None:
    model = resnet20()
    with pytest.raises(PruningError, match=message):
        remove_channels(model, EXAMPLE, removals)
    assert model.layer1[0].conv1.out_channels == 16


def test_a_flatten_with_a_fixed_count_is_an_error_not_a_wrong_network() -> None:
    model = Flat(lambda x: x.view(-1, 32)).eval()
    with pytest.raises(PruningError, match=r"hands hidden \(Linear\) a number of channels that"):
        remove_channels(model, EXAMPLE, {"conv": [0, 1, 2, 3]})
    assert model.conv.out_channels == 8 and model(EXAMPLE).shape == (2, 4)
    assert [group.name for group in find_groups(model, EXAMPLE)] == ["hidden"]


def test_channels_tied_to_the_image_stay() -> None:
    class AddsTheImage(Body):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(self.stem(x) + x).mean((2, 3)))

    model = AddsTheImage(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 3, 1)), width=3)
    assert [group.name for group in find_groups(model, EXAMPLE)] == ["body.0", "body.2"]
    check_prunable(model, EXAMPLE)


def test_outputs_stay_even_where_an_operation_follows_the_classifier() -> None:
    convolutional = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert [group.name for group in find_groups(convolutional, EXAMPLE)] == ["0"]
    assert [g.name for g in find_groups(Body(nn.Identity()), EXAMPLE)] == ["stem"]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 8, 3, groups=2, padding=1),
        nn.GroupNorm(2, 8),
        nn.InstanceNorm2d(8, affine=True),
    ],
)
def test_layers_that_mix_channels_in_other_ways_keep_all_of_them(layer: nn.Module) -> None:
    model = Body(nn.Sequential(layer, nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Conv2d(12, 8, 1)))
    assert [group.name for group in find_groups(model, EXAMPLE)] == ["body.1", "body.3"]
    check_prunable(model, EXAMPLE)


def test_a_network_made_of_grouped_convolutions_survives_the_rest_being_cut() -> None:
    block = torchvision.models.resnet.Bottleneck
    layout = {"num_classes": 10, "groups": 8, "width_per_group": 4}
    model = lively(lambda: torchvision.models.ResNet(block, [1, 1, 1, 1], **layout))
    silenced = copy.deepcopy(model)
    groups = find_groups(silenced, EXAMPLE)
    for group in groups:
        silence(group, some(group))
    remove_channels(model, EXAMPLE, {group.name: some(group) for group in groups})
    torch.testing.assert_close(outputs(model), outputs(silenced), rtol=1e-5, atol=1e-5)
    assert model.layer1[0].conv2.groups == 8


def test_networks_that_cannot_be_pruned_are_told_apart_in_one_line() -> None:
    flat_classifier = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    wrong_size = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(4, 4))
    for model in (flat_classifier, wrong_size):
        with pytest.raises(PruningError) as caught:
            check_prunable(model, EXAMPLE)
        assert "\n" not in str(caught.value)


def test_padded_shortcuts_that_are_not_materialised_keep_their_residual_streams() -> None:
    model = CifarResNet(10, 3, depth=8)
    groups = find_groups(model, EXAMPLE)
    assert [group.name for group in groups] == [f"layer{stage}.0.conv1" for stage in (1, 2, 3)]
    check_prunable(model, EXAMPLE)


def test_channels_mixed_out_of_sight_are_noticed() -> None:
    class Rolled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(torch.roll(x, 1, dims=1))

    torch.manual_seed(0)
    with pytest.raises(PruningError, match="stem: its channels are mixed in a way"):
        check_prunable(Body(Rolled()), EXAMPLE)


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "efficientnet_b0"])
def test_nets_of_torchvision_can_be_pruned(name: str) -> None:
    check_prunable(torchvision.models.get_model(name, num_classes=10), EXAMPLE)


def test_a_vision_transformer_is_pruned_inside_its_perceptrons() -> None:
    model = torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=10)
    nn.init.normal_(model.heads[0].weight)
    groups = find_groups(model, EXAMPLE)
    assert [(g.channels, len(g.consumers)) for g in groups] == [(64, 1), (64, 1)]
    check_prunable(model, EXAMPLE)
