from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slimtune.search.forecast.doctor import Finding, examine
from slimtune.workload.own_code import allow_all_code
from slimtune.workload.types import Architecture, Augmentation, Split, Workload
from slimtune.workload.zoo.build import build

AUGMENTATION = Augmentation()


def around(network: nn.Module, name: str, shape: Sequence[int] = (16, 12, 1)) -> Workload:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (12, *shape), dtype=np.uint8)
    split = Split(images, np.arange(12) % 3)
    architecture = Architecture(name, 3, shape[2])
    mean = (0.5,) * shape[2]
    return Workload(
        "x",
        split,
        split,
        split,
        ("a", "b", "c"),
        mean,
        mean,
        AUGMENTATION,
        architecture,
        network.eval(),
    )


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {f"{found.stage} {found.what}": found for found in findings}


def test_a_network_with_grouped_convolutions_can_do_everything(own_net: Path) -> None:
    allow_all_code()
    torch.manual_seed(0)
    name = f"{own_net}:make"
    workload = around(build(Architecture(name, 3, 1)), name)
    before = {key: value.clone() for key, value in workload.baseline.state_dict().items()}
    findings = list(examine(workload))
    assert all(found.works for found in findings), findings
    found = by_name(findings)
    assert "channels in" in found["prune channels"].detail
    assert "l1" in found["prune channels"].methods
    assert set(found["distill logits"].methods) >= {"base", "dkd"}
    assert "taps found: 16x12" in found["distill feature maps"].detail
    after = workload.baseline.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


class Flat(nn.Module):
    """Has neither channels that could go, nor feature maps, nor batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16 * 12, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight


def test_some_techniques_alone_are_tried_with_the_export() -> None:
    found = examine(around(Flat(), "flat"), among={"half precision"})
    assert [finding.what for finding in found] == ["ONNX file", "half precision"]


def test_what_does_not_work_says_why() -> None:
    found = by_name(list(examine(around(Flat(), "flat"))))
    assert found["export ONNX file"].works and found["distill logits"].works
    for name, reason in (
        ("prune channels", "no channels that can be removed"),
        ("quantize int8, fixed ranges", "layers that stay float"),
        ("distill feature maps", "feature maps of the same height and width"),
    ):
        assert not found[name].works and reason in found[name].detail, found[name]
        assert found[name].methods == ()


class Attends(nn.Module):
    """Most of its weights are in attention's own projections, which are no layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 48, 3)
        self.attention = nn.MultiheadAttention(48, 4, batch_first=True)
        self.mix = nn.Linear(48, 48)
        self.head = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x)[:, :, ::4, ::4].flatten(2).transpose(1, 2)
        return self.head(self.mix(self.attention(tokens, tokens, tokens)[0]).mean(1))


def test_a_quantizer_that_reaches_less_than_half_of_the_weights_says_so() -> None:
    found = by_name(list(examine(around(Attends(), "attends"))))
    fixed = found["quantize int8, fixed ranges"]
    assert fixed.works and "most weights are rounded for nothing" in fixed.detail, fixed


class Unexportable(nn.Module):
    """Uses an operator that ONNX lacks."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x[:, 0, :3, :3]).real


def test_nothing_else_is_tried_where_the_file_cannot_be_written() -> None:
    findings = list(examine(around(Unexportable(), "eig")))
    assert [found.works for found in findings] == [False]
    assert "ONNX" in findings[0].detail


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_layers_that_keep_all_their_channels_are_named() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.ChannelShuffle(4), nn.Conv2d(8, 12, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip
    [_, found] = examine(around(network, "x"), among={"channels"})
    assert found.works and "12 channels in 1 group;" in found.detail
    assert "; not pruned: 0 (its channels are mixed in a way that" in found.detail
