import copy
import pickle
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.export.trace import trace
from slimtune.workload.zoo.outputs import FirstLogits

LOGITS, OTHER = torch.randn(2, 5), torch.randn(2, 5)
Outputs = namedtuple("Outputs", ["features", "logits", "aux"])


@dataclass
class Fields:
    loss: None
    hidden: tuple[Tensor, ...]
    logits: Tensor


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        (LOGITS, OTHER),
        [torch.zeros(2, 7), LOGITS],
        {"out": LOGITS, "aux": OTHER},
        OrderedDict(first=OTHER, logits=LOGITS),
        Outputs(OTHER, LOGITS, OTHER),
        Fields(None, (torch.zeros(2, 3, 5),), LOGITS),
        (None, {"scores": (torch.zeros(2, 5, dtype=torch.int64), LOGITS)}),
    ],
)
def test_the_first_tensor_of_logits_is_taken(output: object) -> None:
    assert FirstLogits(5)(nn.Identity(), (LOGITS,), output) is LOGITS


@pytest.mark.parametrize("output", [{"a": 1}, (torch.zeros(2, 4),), "text", None])
def test_what_holds_no_logits_is_left_to_be_refused(output: object) -> None:
    assert FirstLogits(5)(nn.Identity(), (), output) is output


class Aux(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head, self.aux = nn.Conv2d(1, 4, 3), nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> object:
        x = self.conv(x).mean((2, 3))
        return (self.head(x), self.aux(x)) if self.training else {"logits": self.head(x)}


def test_copies_pickles_and_files_take_it_along() -> None:
    network = Aux()
    network.register_forward_hook(FirstLogits(5))
    images = torch.randn(2, 1, 8, 8)
    expected = network(images)
    assert isinstance(expected, Tensor)
    for made in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(made(images), expected) and torch.equal(made.eval()(images), expected)
    assert [o.name for o in trace(network, (1, 8, 8)).graph.output] == ["logits"]
