import pytest
import torch
from torch import nn

from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

# torchvision's published parameter counts for 1000 classes, ImageNet stem.
PUBLISHED = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}


@pytest.mark.parametrize("name", PUBLISHED)
def test_only_the_stem_and_the_head_differ_in_size_from_torchvision(name):
    model = build(Architecture(name, 10, 3))
    features = model.fc.in_features
    stem = 64 * 3 * (49 - 9)
    head = 990 * (features + 1)
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name] - stem - head


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)])
def test_the_stem_keeps_the_size_of_the_image(shape):
    model = build(Architecture("resnet18", 7, shape[0])).eval()
    seen = []
    model.layer1.register_forward_hook(lambda *call: seen.append(call[2].shape))
    model.layer4.register_forward_hook(lambda *call: seen.append(call[2].shape))
    with torch.no_grad():
        assert model(torch.zeros(2, *shape)).shape == (2, 7)
    assert seen == [(2, 64, *shape[1:]), (2, 512, shape[1] // 8, shape[2] // 8)]
    assert not any(isinstance(m, nn.MaxPool2d) for m in model.modules())
