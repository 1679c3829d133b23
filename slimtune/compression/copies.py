"""Copies of a network whose bits do not depend on where it came from."""

import copy

import torch
from torch import nn

from slimtune.workload.shortcut import materialize_shortcuts


def copied(network: nn.Module) -> nn.Module:
    """Return a copy whose bits do not depend on where the network came from.

    A network that was trained here has its weights channels-last in memory, one that was read
    from a file does not, and torch picks its kernels, and so the last bits, by that.
    """
    return laid_out(materialize_shortcuts(copy.deepcopy(network)).eval())


def laid_out(network: nn.Module) -> nn.Module:
    """Lay the weights of ``network`` channels-last in memory, in place, and return it."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
