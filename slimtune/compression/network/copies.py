"""Copies of a network that give the same bits wherever the network came from."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from slimtune.compression.network.layout import laid_out, runs_channels_last
from slimtune.workload.shortcut import materialize_shortcuts


def copied(network: nn.Module, image_shape: tuple[int, int, int]) -> nn.Module:
    """Return a copy whose bits do not depend on where the network came from.

    A network that was trained here may have its weights channels-last in memory, one that was
    read from a file does not, and torch picks its kernels, and so the last bits, by that.

    Args:
        network: not modified, except that it remembers its layout.
        image_shape: (channels, height, width), to try the layout on.
    """
    runs_channels_last(network, image_shape)  # the network remembers it, and so do copies
    return laid_out(materialize_shortcuts(cloned(network)).eval(), image_shape)


def cloned(network: nn.Module) -> nn.Module:
    """Return an independent copy, equal to the bit and in the same layout in memory.

    Does what `copy.deepcopy` does in half the time, which goes mostly into empty dictionaries of
    hooks. `copy.deepcopy` still copies modules that define how they are copied, and attributes
    other than modules, parameters, buffers and plain values.
    """
    clone = _cloned(network, {})
    assert isinstance(clone, nn.Module)
    return clone


_PLAIN = (bool, int, float, str, bytes, type(None), torch.dtype, torch.device)
_TREES = ("_parameters", "_buffers", "_modules")


def _cloned(value: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of a module, a tensor or anything else; ``memo`` as in `copy.deepcopy`."""
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, _PLAIN):
        return value
    if type(value) in (torch.Tensor, nn.Parameter) and _is_bare(value):
        clone = value.detach().clone()
        clone = nn.Parameter(clone) if isinstance(value, nn.Parameter) else clone
        clone.requires_grad_(value.requires_grad)
    elif isinstance(value, nn.Module) and _copies_as_usual(type(value)):
        clone = value.__class__.__new__(value.__class__)
        memo[id(value)] = clone
        for name, held in value.__dict__.items():
            clone.__dict__[name] = _copied_attribute(name, held, memo)
    else:
        return copy.deepcopy(value, memo)
    memo[id(value)] = clone
    memo.setdefault(id(memo), []).append(value)  # type: ignore[arg-type]  # keeps the id taken
    return clone


def _is_bare(tensor: Tensor) -> bool:
    """Return whether a tensor is its numbers and nothing else."""
    return tensor.is_leaf and tensor.grad is None and not tensor.__dict__


def _copied_attribute(name: str, held: Any, memo: dict[int, Any]) -> Any:
    if name in _TREES:
        return type(held)((key, _cloned(each, memo)) for key, each in held.items())
    if isinstance(held, dict | set | list) and not held:
        return type(held)()
    return _cloned(held, memo)


def _copies_as_usual(kind: type[nn.Module]) -> bool:
    """Return whether a class leaves copying and pickling to `nn.Module`."""
    special = ("__deepcopy__", "__getstate__", "__reduce__", "__reduce_ex__", "__getnewargs__")
    usual = all(getattr(kind, name, None) is getattr(nn.Module, name, None) for name in special)
    # torch's own layers fill in there what old pickles lack.
    return usual and kind.__setstate__.__module__.startswith("torch.nn.")
