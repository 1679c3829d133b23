import pytest
import torch
from torch import nn

from slimtune.workload.shortcut import PadShortcut, SelectionConv2d, materialize_shortcuts
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


@pytest.mark.parametrize("sizes", [(16, 32, 2), (32, 64, 2), (3, 8, 2), (4, 4, 2), (5, 9, 1)])
@pytest.mark.parametrize("pixels", [8, 7, 1])
def test_the_selection_convolution_computes_the_same_bits_as_padding(sizes, pixels):
    shortcut = PadShortcut(*sizes)
    x = torch.randn(3, sizes[0], pixels, pixels, generator=torch.Generator().manual_seed(0))
    assert torch.equal(shortcut.as_selection()(x), shortcut(x))


def test_padding_puts_the_old_channels_in_the_middle():
    out = PadShortcut(2, 4, 2)(torch.ones(1, 2, 4, 4))
    assert out.shape == (1, 4, 2, 2)
    assert out[0, :, 0, 0].tolist() == [0, 1, 1, 0]


def test_a_selection_convolution_learns_nothing():
    assert not any(p.requires_grad for p in PadShortcut(2, 4, 2).as_selection().parameters())


def test_a_whole_network_computes_the_same_bits_with_materialized_shortcuts():
    torch.manual_seed(0)
    model = build(Architecture("resnet8", 10, 3)).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = model(x)
        after = materialize_shortcuts(model)(x)
    assert torch.equal(after, before)
    kinds = [type(m) for m in model.modules()]
    assert kinds.count(SelectionConv2d) == 2 and PadShortcut not in kinds
    assert isinstance(model.layer1[0].shortcut, nn.Sequential)
