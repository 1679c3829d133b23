import copy

import torch

from slimtune.compression.copies import copied, laid_out
from slimtune.workload.types import Workload


def test_a_copy_is_laid_out_alike_wherever_the_network_came_from(digits: Workload) -> None:
    as_read = copy.deepcopy(digits.baseline).to(memory_format=torch.contiguous_format)
    for network in (digits.baseline, as_read):
        weights = [p for p in copied(network).parameters() if p.ndim == 4]
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_the_original_is_left_as_it_was(digits: Workload) -> None:
    before = copy.deepcopy(digits.baseline.state_dict())
    for parameter in copied(digits.baseline).parameters():
        torch.nn.init.zeros_(parameter)
    assert all(torch.equal(v, before[k]) for k, v in digits.baseline.state_dict().items())


def test_laying_out_changes_no_value() -> None:
    layer = torch.nn.Conv2d(2, 3, 3)
    before = layer.weight.detach().clone()
    assert torch.equal(laid_out(layer).weight, before)
