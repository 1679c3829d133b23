import functools

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from slimtune.errors import ConfigError, ModelError
from slimtune.workload.objects.networks import metric_reference, network_reference
from slimtune.workload.own_code import allow_code, load_code
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


class Net(nn.Module):
    def __init__(self, num_classes: int, in_channels: int, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3)
        self.out = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.conv(x).mean((2, 3)))


def built(reference: str) -> nn.Module:
    allow_code(reference)
    return build(Architecture(reference, 5, 1))


def test_a_module_gives_copies_of_what_it_was() -> None:
    network = Net(5, 1)
    reference = network_reference(network, "model")
    before = network.out.weight.detach().clone()
    nn.init.zeros_(network.out.weight)  # training goes on
    one, other = built(reference), built(reference)
    assert torch.equal(one.out.weight, before) and one is not other
    nn.init.zeros_(one.out.weight)
    assert torch.equal(other.out.weight, before)
    assert network_reference(network, "model") != reference


@pytest.mark.parametrize(
    "make",
    [
        Net,
        functools.partial(Net, width=6),
        lambda num_classes, in_channels: Net(num_classes, in_channels, 6),
        lambda: Net(5, 1),
    ],
)
def test_classes_and_functions_make_networks(make: object) -> None:
    network = built(network_reference(make, "model"))
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 5)


def test_what_wraps_a_network_is_taken_off() -> None:
    network = built(network_reference(nn.DataParallel(Net(5, 1)), "model"))
    assert isinstance(network, Net)


def test_a_network_whose_weights_are_computed_can_be_handed_in() -> None:
    network = nn.Sequential(nn.Flatten(), weight_norm(nn.Linear(64, 5)))
    network(torch.zeros(2, 1, 8, 8)).sum().backward()
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(built(network_reference(network, "model")).eval()(x), network.eval()(x))


def test_functions_of_libraries_have_the_names_that_they_are_known_by() -> None:
    assert network_reference(torchvision.models.resnet18, "model") == "torchvision:resnet18"
    quantized = network_reference(torchvision.models.quantization.resnet18, "model")
    assert quantized == "torchvision.models.quantization.resnet:resnet18"
    timm = pytest.importorskip("timm")
    assert network_reference(timm.models.resnet18, "model") == "timm:resnet18"
    assert network_reference("resnet8", "model") == "resnet8"


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Net(5, 1).state_dict(), "model: must be a network, but got a state dict.* as weights"),
        (3, "model: must be a torch module, a class or function .*, but got int 3"),
        ([Net], "but got list"),
    ],
)
def test_what_is_no_network_is_refused(thing: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        network_reference(thing, "model")


def test_a_network_that_cannot_be_copied_says_what_to_give_instead() -> None:
    network = Net(5, 1)
    network.lock = (each for each in ())
    with pytest.raises(ModelError, match=r"cannot be copied: .*; give the function or class"):
        network_reference(network, "teacher")


def recall(logits: object, labels: object) -> float:
    return 0.5


def test_a_metric_is_a_function_with_a_direction() -> None:
    assert metric_reference("accuracy") == "accuracy"
    assert metric_reference((recall, "maximize")) == f"{__name__}:recall:maximize"
    own = metric_reference((lambda logits, labels: 1.0, "minimize"))
    assert own.endswith(":lambda:minimize")
    assert load_code(own.removesuffix(":minimize"))(None, None) == 1.0
    with pytest.raises(ConfigError, match=r"of recall is better: \(recall, 'maximize'\)"):
        metric_reference(recall)
    for wrong in ((recall, "up"), (recall,)):
        with pytest.raises(ConfigError, match="a metric of your own is"):
            metric_reference(wrong)
