import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.pruning.stage.graph import OUTPUT, candidates, trace, undisturbed
from slimtune.errors import PruningError

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.tail = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.fc = nn.Linear(12, 5)
        self.make()

    def make(self) -> None:
        pass

    def middle(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.tail(self.middle(F.relu(self.stem(x))))).mean((2, 3)))


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


class Gated(Net):
    def make(self) -> None:
        self.a = nn.Conv2d(8, 16, 1)

    def middle(self, x: Tensor) -> Tensor:
        return F.glu(self.a(x), 1)


class Halves(Gated):
    def middle(self, x: Tensor) -> Tensor:
        a, b = self.a(x).chunk(2, 1)
        return a * torch.sigmoid(b)


@pytest.mark.parametrize(
    ("network", "cuts", "whole"),
    [
        (Net(), ["stem", "tail"], {}),
        (SharedWeights(), ["tail"], {"a": "a (Conv2d) shares its weights with another layer"}),
        (Scaled(), ["tail"], {"stem": "used with a bare parameter"}),
        (Normalised(), ["tail"], {"stem": "tied to norm (GroupNorm)"}),
        (Bilinear(), ["stem"], {"tail": "its channels come back to it again and again"}),
    ],
)
def test_what_cannot_be_followed_is_named_and_the_rest_is_found(
    network: nn.Module, cuts: list[str], whole: dict[str, str]
) -> None:
    with undisturbed(network, IMAGES):
        found, reasons = candidates(trace(network, IMAGES))
    assert [each.group.name for each in found] == cuts
    assert reasons.items() >= whole.items() and reasons["fc"] == OUTPUT


def test_channels_that_others_of_their_layer_would_follow_are_not_cut() -> None:
    network = Halves()
    with undisturbed(network, IMAGES):
        traced = trace(network, IMAGES)
        with pytest.raises(PruningError, match="tied to each other"):
            traced.cut(network.a, [0, 1])
    assert network.a.weight.shape[0] == 16 and network.tail.weight.shape[1] == 8
