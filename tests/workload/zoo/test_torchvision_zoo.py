import pytest
import torch
from torch import nn

from slimtune.errors import ModelError, UnknownNameError
from slimtune.workload.types import Architecture
from slimtune.workload.zoo import torchvision_zoo
from slimtune.workload.zoo.build import build


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x0_5"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_of_torchvision_takes_any_channels_and_classes(name, channels):
    model = build(Architecture(f"torchvision:{name}", 4, channels)).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, channels, 64, 64)).shape == (2, 4)


def test_a_replaced_first_convolution_keeps_its_other_settings():
    ours = torchvision_zoo.torchvision_model("squeezenet1_0", 10, 1).features[0]
    theirs = torchvision_zoo.torchvision_model("squeezenet1_0", 10, 3).features[0]
    assert (ours.in_channels, theirs.in_channels) == (1, 3)
    for setting in ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
        assert getattr(ours, setting) == getattr(theirs, setting)
    assert (ours.bias is None) == (theirs.bias is None)


def test_a_network_with_auxiliary_heads_trains_with_one_output():
    model = build(Architecture("torchvision:googlenet", 3, 3)).train()
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_a_misspelt_network_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'mobilenet_v2'"):
        build(Architecture("torchvision:mobilnet_v2", 10, 3))


def test_networks_that_do_not_classify_are_unknown():
    names = torchvision_zoo.torchvision_names()
    assert "resnet18" in names and "vit_b_16" in names
    assert not any("rcnn" in name or "deeplab" in name or "r3d" in name for name in names)


def test_a_network_without_a_first_convolution_needs_three_channels():
    with pytest.raises(ModelError, match="takes images of 3 channels, but the data has 1"):
        torchvision_zoo._replace_first_conv(nn.Sequential(nn.Linear(3, 2)), "made", 1)
