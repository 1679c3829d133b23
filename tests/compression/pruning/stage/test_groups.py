import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.pruning.stage.graph import trace, undisturbed
from slimtune.compression.pruning.stage.groups import candidates
from slimtune.compression.pruning.stage.reasons import ENDLESS, OUTPUT
from tests.compression.pruning.stage.nets import IMAGES, Net


class SharedWeights(Net):
    def make(self) -> None:
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.b.weight = self.a.weight

    def middle(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x)))


class Scaled(Net):
    def make(self) -> None:
        self.scale = nn.Parameter(torch.rand(1, 8, 1, 1))

    def middle(self, x: Tensor) -> Tensor:
        return x * self.scale


class Normalised(Net):
    def make(self) -> None:
        self.norm = nn.GroupNorm(2, 8)

    def middle(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Bilinear(Net):
    """A map times itself: torch-pruning alone multiplies indices for ever."""

    def make(self) -> None:
        self.fc = nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.tail(F.relu(self.stem(x)))).flatten(2)
        return self.fc((x @ x.transpose(1, 2)).flatten(1))


@pytest.mark.parametrize(
    ("network", "cuts", "whole"),
    [
        (Net(), ["stem", "tail"], {}),
        (SharedWeights(), ["tail"], {"a": "a (Conv2d) shares its weights with another layer"}),
        (Scaled(), ["tail"], {"stem": "combined with a parameter that belongs to no layer"}),
        (Normalised(), ["tail"], {"stem": "tied to norm (GroupNorm)"}),
        (Bilinear(), ["stem"], {"tail": ENDLESS}),
    ],
)
def test_what_cannot_be_followed_is_named_and_the_rest_is_found(
    network: nn.Module, cuts: list[str], whole: dict[str, str]
) -> None:
    with undisturbed(network, IMAGES):
        groups, reasons = candidates(trace(network, IMAGES))
    assert [group.name for group in groups] == cuts
    assert reasons.items() >= whole.items() and reasons["fc"] == OUTPUT
