import pytest
import torch
from torch import nn

from slimtune.workload.zoo.cifar_resnet import CifarResNet
from tests.compression.export.exported import as_if_trained


@pytest.fixture(scope="module")
def small() -> nn.Module:
    torch.manual_seed(0)
    return as_if_trained(CifarResNet(10, 3, depth=8))


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return as_if_trained(CifarResNet(10, 3, depth=20))
