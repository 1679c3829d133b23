"""Option-A shortcuts of CIFAR ResNets, as padding and as a convolution that can be pruned.

A channel-padding shortcut has no parameters, so a dependency graph cannot see which output
channel comes from which input channel, and surgery on the residual stream breaks the network.
The same map written as a 1x1 convolution with frozen 0/1 weights can be cut like any other
layer, computes the same bits, and is faster in ONNX Runtime than Slice and Pad.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelectionConv2d(nn.Conv2d):
    """A 1x1 convolution whose weights are 0 or 1: it selects channels and learns nothing.

    Not counted as parameters or MACs, never quantized below what holds 0 and 1 exactly.
    """

    counts_as_parameters = False

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, 1, stride=stride, bias=False)
        self.weight.requires_grad_(False)


class PadShortcut(nn.Module):
    """He et al. 2016, option A: every ``stride``-th pixel, new channels filled with zeros.

    Half of the new channels lie before the old ones and half behind (akamaster's layout).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, out_channels, h/stride, w/stride)."""
        before = (self.out_channels - self.in_channels) // 2
        behind = self.out_channels - self.in_channels - before
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, behind))

    def as_selection(self) -> SelectionConv2d:
        """Return the convolution that computes the same map."""
        conv = SelectionConv2d(self.in_channels, self.out_channels, self.stride)
        before = (self.out_channels - self.in_channels) // 2
        weight = torch.zeros(self.out_channels, self.in_channels, 1, 1)
        for channel in range(self.in_channels):
            weight[before + channel, channel] = 1.0
        conv.weight.data = weight
        return conv


def materialize_shortcuts(model: nn.Module) -> nn.Module:
    """Replace every `PadShortcut` inside ``model`` by its `SelectionConv2d`, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, PadShortcut):
                setattr(parent, name, child.as_selection())
    return model
