from types import SimpleNamespace

import pytest
from torch import nn

from slimtune.workload.datasets import load_dataset
from slimtune.workload.normalisation import NORMALISATIONS
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build
from slimtune.workload.zoo.own_numbers import normalised_for, own_numbers

HALF = ((0.5,) * 3, (0.5,) * 3)


def stating(mean, std, like=dict):
    network = nn.Linear(2, 2)
    network.pretrained_cfg = like(mean=mean, std=std)
    return network


@pytest.mark.parametrize("like", [dict, SimpleNamespace])
def test_timms_description_is_read_also_inside_an_own_network(like) -> None:
    inner = stating((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), like)
    assert own_numbers("net.py:make", nn.Sequential(inner, nn.ReLU())) == HALF


@pytest.mark.parametrize(
    ("mean", "std"), [(None, None), ((), ()), ("abc", "abc"), (0.5, 0.5), ((0.5,), (0.0,))]
)
def test_what_says_nothing_usable_is_passed_over(mean, std) -> None:
    assert own_numbers("x", stating(mean, std)) is None


def test_parts_that_disagree_say_nothing() -> None:
    both = nn.Sequential(stating((0.5,) * 3, (0.5,) * 3), stating((0.1,) * 3, (0.1,) * 3))
    assert own_numbers("x", both) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("vit_tiny_patch16_224", HALF), ("inception_v4", HALF),
     ("mobilenetv3_small_050", NORMALISATIONS["imagenet"])],
)  # fmt: skip
def test_networks_of_timm_bring_timms_numbers(name, expected) -> None:
    timm = pytest.importorskip("timm")
    stated = timm.get_pretrained_cfg(name)
    network = build(Architecture(f"timm:{name}", 4, 3))
    assert own_numbers(f"timm:{name}", network) == expected
    assert (tuple(stated.mean), tuple(stated.std)) == expected


def test_networks_of_torchvision_bring_those_of_their_transforms() -> None:
    network = nn.Linear(1, 1)
    assert own_numbers("torchvision:mobilenet_v2", network) == NORMALISATIONS["imagenet"]
    assert own_numbers("torchvision:no_such", network) is None
    assert own_numbers("resnet20", network) is None


@pytest.mark.parametrize(
    ("data", "origin", "mean"),
    [
        ("digits@channels=3", "network", (0.5,) * 3),
        ("digits@channels=3,mean=imagenet", "option", (0.485, 0.456, 0.406)),
        ("digits", "default", load_dataset("digits").mean),  # of another number of channels
    ],
)
def test_the_networks_numbers_come_after_the_users_and_before_the_default(
    data, origin, mean
) -> None:
    dataset = normalised_for(load_dataset(data), "x", stating(*HALF))
    assert dataset.normalised_by == origin and dataset.mean == mean
