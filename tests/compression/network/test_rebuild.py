"""Save, rebuild, compare bits."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from slimtune.compression.network.rebuild import resize_to
from slimtune.compression.pruning.stage.surgery import find_groups, remove_channels
from slimtune.errors import ModelError
from slimtune.workload.shortcut import PadShortcut, SelectionConv2d, materialize_shortcuts
from slimtune.workload.zoo.cifar_resnet import CifarResNet

EXAMPLE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def option_a() -> nn.Module:
    return CifarResNet(10, 3, depth=8)


def depthwise() -> nn.Module:
    return torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25)


def grouped() -> nn.Module:
    block = torchvision.models.resnet.Bottleneck
    return torchvision.models.ResNet(block, [1, 1, 1, 1], 10, groups=8, width_per_group=4)


def varied() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12, affine=False), nn.PReLU(12),
        nn.ConvTranspose2d(12, 10, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(40, 16, bias=False), nn.PReLU(), nn.Linear(16, 10),
    )  # fmt: skip


def pruned(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = materialize_shortcuts(build())
    model.train()(EXAMPLE)  # running statistics that are not the initial ones
    groups = find_groups(model.eval(), EXAMPLE)
    remove_channels(model, EXAMPLE, {g.name: list(range(0, g.channels - 1, 2)) for g in groups})
    return model


def outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(EXAMPLE)


@pytest.mark.parametrize("build", [option_a, depthwise, grouped, varied])
def test_a_rebuilt_network_computes_the_same_bits(
    build: Callable[[], nn.Module], tmp_path: Path
) -> None:
    model = pruned(build)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again = resize_to(build(), load_file(tmp_path / "model.safetensors"))
    assert torch.equal(outputs(again), outputs(model))
    assert str(again) == str(model)  # every size that a layer knows about itself


@pytest.mark.parametrize("build", [option_a, depthwise])
def test_a_rebuilt_network_can_be_pruned_again(build: Callable[[], nn.Module]) -> None:
    again = resize_to(build(), pruned(build).state_dict())
    before = sum(p.numel() for p in again.parameters())
    groups = find_groups(again, EXAMPLE)
    remove_channels(again, EXAMPLE, {g.name: [0] for g in groups if g.channels > 1})
    assert outputs(again).shape == (2, 10)
    assert sum(p.numel() for p in again.parameters()) < before


def test_a_state_without_selection_weights_leaves_the_padded_shortcuts() -> None:
    model = option_a()
    again = resize_to(option_a(), model.state_dict())
    assert any(isinstance(module, PadShortcut) for module in again.modules())
    assert torch.equal(outputs(again), outputs(model))


def test_selection_weights_stay_frozen() -> None:
    again = resize_to(option_a(), pruned(option_a).state_dict())
    selections = [m for m in again.modules() if isinstance(m, SelectionConv2d)]
    assert len(selections) == 2
    assert not any(m.weight.requires_grad for m in selections)
    assert again.conv1.weight.requires_grad


def change(state: dict[str, Tensor], key: str, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        del state[key]
    else:
        state[key] = torch.zeros(shape)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("layer1.0.conv1.weight", None, "weights lack the key 'layer1.0.conv1.weight'"),
        ("extra.weight", (3,), "weights hold the unknown key 'extra.weight'"),
        ("conv1.weight", (16, 3, 5, 5), r"'conv1.weight': the shape \(16, 3, 5, 5\) does not fit"),
        ("conv1.weight", (16, 3), r"'conv1.weight': the shape \(16, 3\) does not fit"),
        ("conv1.weight", (0, 3, 3, 3), r"'conv1.weight': the shape \(0, 3, 3, 3\) does not fit"),
        ("bn1.bias", (9,), r"'bn1.bias': the shape \(9,\) does not fit"),
        ("bn1.weight", (4, 4), r"'bn1.weight': the shape \(4, 4\) does not fit"),
        ("linear.weight", (7,), r"'linear.weight': the shape \(7,\) does not fit"),
        ("linear.bias", (11,), r"'linear.bias': the shape \(11,\) does not fit"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(
    key: str, shape: tuple[int, ...] | None, message: str
) -> None:
    state = option_a().state_dict()
    change(state, key, shape)
    with pytest.raises(ModelError, match=message) as caught:
        resize_to(option_a(), state)
    assert "\n" not in str(caught.value)


def test_rows_that_a_grouped_convolution_cannot_share_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(6, 9, 1, groups=3, bias=False))
    with pytest.raises(ModelError, match=r"'0.weight': the shape \(8, 2, 1, 1\)"):
        resize_to(model, {"0.weight": torch.zeros(8, 2, 1, 1)})


def test_the_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(ModelError, match="weights lack the key 'conv1.weight'"):
        resize_to(option_a(), depthwise().state_dict())
