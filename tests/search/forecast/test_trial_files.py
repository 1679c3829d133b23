from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.quantization import QUANTIZATION, Gpfq, Int8Static, Lsq
from slimtune.errors import ModelError
from slimtune.search.forecast.trial_files import check_files
from slimtune.workload.types import Workload


def tail() -> list[nn.Module]:
    return [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)]


class ByImages(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * (1 + x.mean((1, 2, 3)).sum()), padding=1)


class Branches(nn.Module):
    """Both exporters follow the images that they are shown, and those are blank."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 8, 3), *tail())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if not torch.any(x).item() else -self.net(x)


def test_every_quantizer_is_tried_on_a_network_that_works(digits: Workload) -> None:
    every: Any = [QUANTIZATION[name]() for name in QUANTIZATION if name != "none"]
    before = {name: value.clone() for name, value in digits.baseline.state_dict().items()}
    check_files("net", digits.baseline, digits, every)
    assert all(torch.equal(v, before[n]) for n, v in digits.baseline.state_dict().items())


def test_a_file_that_computes_something_else_is_refused_by_its_numbers(digits: Workload) -> None:
    with pytest.raises(ModelError, match="'net' cannot be exported: .*"):
        check_files("net", Branches().eval(), digits, [])


def test_a_quantizer_that_leaves_nearly_all_is_refused_before_training(digits: Workload) -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), ByImages(8, 8, 3), *tail()).eval()
    check_files("net", network, digits, [Int8Static()])
    wide = nn.Sequential(ByImages(1, 32, 3), ByImages(32, 8, 3), *tail()).eval()
    for quantizer in (Lsq(), Gpfq()):
        with pytest.raises(ModelError, match="of 'net': .* float32 .*space.quantize.method"):
            check_files("net", wide, digits, [quantizer])
