import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.network.admission import check_network
from slimtune.errors import ModelError
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Convolution, something, average, classifier."""

    def __init__(self, middle: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.middle = nn.Conv2d(3, 8, 3), nn.Linear(8, 5), middle

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.middle(torch.relu(self.conv(x))).mean((2, 3)))


class Squeezes(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.adaptive_avg_pool2d(self.conv(x), 1).squeeze())


class AcrossTheBatch(nn.Module):
    """Attention in which images look at each other: (n, c, h, w) as a sequence of n."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.mean((2, 3))[:, None]
        return x + self.attention(tokens, tokens, tokens)[0].transpose(1, 2)[..., None]


class AlwaysTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm.train()(x)


DEPENDENT = [
    (Net(nn.BatchNorm2d(8, track_running_stats=False)), "batch norm middle has track_running"),
    (Net(lambda x: F.batch_norm(x, None, None, training=True)), "they differ by"),
    (Net(lambda x: x - x.mean(0, keepdim=True)), "they differ by"),
    (Net(lambda x: x / x.abs().max()), "they differ by"),
    (Net(AcrossTheBatch()), "they differ by"),
    (Net(AlwaysTraining()), "they differ by|other logits each time"),
    (Net(lambda x: x + 1e-3 * x.flip(0)), "they differ by"),
    (Squeezes(nn.Identity()), r"one image alone gives the shape \(5,\) instead of \(1, 5\)"),
    (Net(lambda x: x.view(4, 8, 14, 14)), "cannot run on one image alone"),
]


@pytest.mark.parametrize(("network", "reason"), DEPENDENT)
def test_logits_that_depend_on_the_batch_are_refused_in_one_line(
    network: nn.Module, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        check_network(network, IMAGES, "net")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_an_untracked_norm_is_found_where_it_has_no_effect_yet() -> None:
    """As the last norm of a residual block, whose scale begins at 0."""
    norm = nn.BatchNorm2d(8, track_running_stats=False)
    nn.init.zeros_(norm.weight)
    network = Net(lambda x: x)
    network.middle = nn.Sequential(norm)
    with pytest.raises(ModelError, match="middle.0 has track_running_stats=False"):
        check_network(network, IMAGES, "net")


def test_what_is_random_in_evaluation_is_refused() -> None:
    with pytest.raises(ModelError, match="other logits each time"):
        check_network(Net(lambda x: F.dropout(x)), IMAGES, "net")


class InTraining(Net):
    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__(nn.Identity())
        self.change = change

    def forward(self, x: Tensor) -> object:  # type: ignore[override]
        logits = super().forward(x)
        return self.change(logits) if self.training else logits


def fails(logits: Tensor) -> Tensor:
    raise RuntimeError("no labels\nwere given")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda logits: (logits, logits), "in training net returns tuple"),
        (lambda logits: logits.sum(), r"in training net returns \(\), in evaluation"),
        (fails, "net cannot run in training: no labels; "),
    ],
)
def test_training_that_gives_no_logits_is_refused(
    change: Callable[[Tensor], object], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        check_network(InTraining(change), IMAGES, "net")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "network",
    [
        Net(nn.BatchNorm2d(8)),
        Net(nn.InstanceNorm2d(8)),
        Net(nn.GroupNorm(2, 8)),
        Net(nn.LocalResponseNorm(3)),
        Net(nn.Dropout(0.5)),
        build(Architecture("resnet8", 10, 3)),
        build(Architecture("torchvision:mobilenet_v2", 10, 3)),
    ],
)
def test_networks_that_look_at_each_image_alone_pass_and_are_left_as_they_were(
    network: nn.Module,
) -> None:
    before, state = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    check_network(network, IMAGES, "net")
    assert torch.equal(torch.random.get_rng_state(), state) and not network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
