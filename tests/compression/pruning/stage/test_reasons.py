"""Why parts stay whole is said in words: the layer, what stands in the way, where to look."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.pruning.stage.reasons import passes_through
from slimtune.compression.pruning.stage.surgery import unprunable_layers

IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
HERE = r"at test_reasons\.py:\d+"


class Net(nn.Module):
    """A convolution, something, another convolution of one's choice, a classifier."""

    def __init__(self, middle: Callable[[Tensor], Tensor], tail: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.tail = nn.Conv2d(3, 16, 3, padding=1), tail or nn.Conv2d(16, 24, 3)
        self.fc = nn.Linear(24, 10)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(torch.relu(self.stem(x)))
        return self.fc(torch.relu(self.tail(x)).mean((2, 3)))


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5), self.bias)


class Halves(nn.Module):
    """Splits by counts that it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(8, 12, 3), nn.Conv2d(8, 12, 3)])

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(self.convs, torch.split(x, [8, 8], 1), strict=True)
        return torch.cat([conv(part) for conv, part in parts], 1)


def shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.reshape(n, 4, c // 4, h * w).mean(1).repeat(1, 4, 1).reshape(n, c, h, w)


def gathered(x: Tensor) -> Tensor:
    order = torch.arange(15, -1, -1).view(1, 16, 1, 1)
    return x.gather(1, order.expand(len(x), 16, 8, 8))


def attended(x: Tensor) -> Tensor:
    alike = torch.einsum("bchw,bdhw->bcd", x, x) / 64
    return torch.einsum("bcd,bdhw->bchw", alike.softmax(-1), x)


TAIL = r"tail \(Conv2d\)"
FIXED = rf"the forward of the network \(Net\) fails {HERE}, .* fixed counts of channels"


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Net(lambda x: x.roll(3, 1)), rf"mixed .* on the way to {TAIL} through Roll"),
        (Net(lambda x: x.sort(1)[0]), rf"mixed .* on the way to {TAIL} through Sort"),
        (Net(attended), rf"mixed .* on the way to {TAIL} through "),
        (Net(lambda x: x[:, [3, 1, 0, 2, *range(4, 16)]]), FIXED),
        (Net(lambda x: x * torch.linspace(0, 1, 16).view(1, -1, 1, 1)), FIXED),
        (Net(gathered), FIXED),
        (Net(shuffled), FIXED),
        (
            Net(lambda x: x.repeat(1, 2, 1, 1), nn.Conv2d(32, 24, 3)),
            rf"the network \(Net\) hands {TAIL} a number of channels that does not fit it {HERE}",
        ),
        (Net(nn.Identity(), Halves()), rf"forward of tail \(Halves\) fails {HERE}"),
        (
            Net(nn.Identity(), Standardised(16, 24, 3)),
            r"mixed .* tail \(Standardised\), which has a forward of its own$",
        ),
        (Net(nn.LayerNorm([16, 8, 8])), r"^tied to middle \(LayerNorm\)$"),
    ],
)
def test_the_layer_and_what_stands_in_its_way_are_named_and_no_exception(
    network: nn.Module, reason: str
) -> None:
    reasons: dict[str, Any] = unprunable_layers(network.eval(), IMAGE)
    assert re.search(reason, reasons["stem"]), reasons["stem"]
    assert not re.search(r"[A-Z]\w*(Error|Exception)\b", " ".join(reasons.values()))


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ([], "an operation"),
        (["split", "split"], "a split"),
        (["unbind", "split", "reshape"], "an unbind, a split and a reshape"),
    ],
)
def test_operations_are_listed_in_a_sentence(operations: list[str], words: str) -> None:
    assert passes_through(operations) == f"goes through {words} that cannot be followed"
