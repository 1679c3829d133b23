import pytest
import torch

from slimtune.errors import ModelError, UnknownNameError
from slimtune.workload.types import Architecture
from slimtune.workload.zoo import ZOO
from slimtune.workload.zoo.build import build


def test_the_catalogue_holds_every_promised_network():
    depths = (8, 20, 32, 44, 56, 110)
    promised = {f"resnet{d}{option}" for d in depths for option in ("", "b")}
    promised |= {"resnet8x2", "resnet8x4", "resnet32x4", "resnet18", "resnet34", "resnet50"}
    assert set(ZOO.names()) == promised


@pytest.mark.parametrize("name", [n for n in ZOO if n not in ("resnet110", "resnet110b")])
def test_every_network_of_the_zoo_is_trainable_on_the_smallest_images(name):
    model = build(Architecture(name, 3, 1))
    model(torch.rand(4, 1, 8, 8)).sum().backward()
    assert model.training
    for parameter in model.parameters():
        assert parameter.dtype == torch.float32 and parameter.grad is not None


@pytest.mark.parametrize(
    ("classes", "channels"),
    [(2**31, 3), (10**400, 3), (10, 2**31), ("10", 3), (True, 3), (2.0, 3)],
)
def test_sizes_that_no_network_has_are_refused_before_memory_is_asked_for(classes, channels):
    with pytest.raises(ModelError, match="must be a whole number up to 100000") as caught:
        build(Architecture("resnet8", classes, channels))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnt18", "resnet18"),
        ("resnet20c", "resnet20"),
        ("torchvison:vgg16", "torchvision:vgg16"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest):
    with pytest.raises(UnknownNameError) as caught:
        build(Architecture(name, 10, 3))
    assert f"Did you mean '{nearest}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["", ":", "torchvision:", "timm:", "no_such_module:x", "torchvision:../x"]
)
def test_a_name_that_names_nothing_is_refused(name):
    with pytest.raises(UnknownNameError):
        build(Architecture(name, 10, 3))


@pytest.mark.parametrize(("classes", "channels"), [(1, 3), (10, 0), (-2, 3)])
def test_fewer_than_two_classes_or_no_channel_is_refused(classes, channels):
    with pytest.raises(ModelError, match="at least 2 classes and 1 channel"):
        build(Architecture("resnet8", classes, channels))
