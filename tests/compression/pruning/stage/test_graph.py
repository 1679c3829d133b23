import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.pruning.stage.graph import trace, undisturbed
from slimtune.errors import PruningError
from tests.compression.pruning.stage.nets import IMAGES, Net


class Halves(Net):
    def make(self) -> None:
        self.a = nn.Conv2d(8, 16, 1)

    def middle(self, x: Tensor) -> Tensor:
        a, b = self.a(x).chunk(2, 1)
        return a * torch.sigmoid(b)


def test_channels_that_others_of_their_layer_would_follow_are_not_cut() -> None:
    network = Halves()
    with undisturbed(network, IMAGES):
        traced = trace(network, IMAGES)
        with pytest.raises(PruningError, match="tied to each other"):
            traced.cut(network.a, [0, 1])
    assert network.a.weight.shape[0] == 16 and network.tail.weight.shape[1] == 8


class Fails(Net):
    def middle(self, x: Tensor) -> Tensor:
        raise ValueError("no such thing\nat all")


class Detached(Net):
    def middle(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.detach().numpy())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Fails(), r"^it does not run on a batch of shape \(2, 3, 8, 8\): no such thing$"),
        (Detached(), "must return one differentiable tensor"),
    ],
)
def test_a_network_that_gives_no_graph_is_refused_in_words(
    network: nn.Module, message: str
) -> None:
    with undisturbed(network, IMAGES), pytest.raises(PruningError, match=message):
        trace(network, IMAGES)
