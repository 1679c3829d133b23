"""How a network's weights lie in memory: channels-last where the network computes so.

Channels-last is faster and changes nothing else, but it breaks some networks: `Tensor.view` after
a convolution, as in many tutorials, reads the axes in another order in memory.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

_MEMORY = "_runs_channels_last"
"""Attribute of a network that was tried; copies and pickles take it along."""
_EXACT = 1e-6
"""Of the largest logit, in float64."""


def laid_out(network: nn.Module, image_shape: tuple[int, int, int] | None = None) -> nn.Module:
    """Lay the weights of ``network`` out as `runs_channels_last` says, in place, and return it.

    Args:
        network: to be laid out.
        image_shape: (channels, height, width); needed unless the network was tried before.
    """
    if image_shape is None:
        last = bool(network.__dict__[_MEMORY])
    else:
        last = runs_channels_last(network, image_shape)
    return _lay(network, torch.channels_last if last else torch.contiguous_format)


def runs_channels_last(network: nn.Module, image_shape: tuple[int, int, int]) -> bool:
    """Return whether a network computes the same with its weights channels-last in memory.

    Forward and backward pass are tried, in evaluation and in training, on two images of noise:
    always the same, so that every process decides alike. Tried once: the network remembers, and
    its copies with it, so that a pruned or fake-quantized copy is laid out like the original.
    A network that fails in both layouts has another fault, which is reported elsewhere.

    Args:
        network: not changed, except that it remembers the answer.
        image_shape: (channels, height, width).
    """
    last = network.__dict__.get(_MEMORY)
    if last is None:
        last = _tolerates(network, image_shape)
        network.__dict__[_MEMORY] = last
    return bool(last)


def laid_out_like(
    network: nn.Module, original: nn.Module, image_shape: tuple[int, int, int]
) -> nn.Module:
    """Give ``network``, which was cut from ``original``, its layout in place; return it."""
    network.__dict__[_MEMORY] = runs_channels_last(original, image_shape)
    return laid_out(network, image_shape)


def _tolerates(network: nn.Module, image_shape: tuple[int, int, int]) -> bool:
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    images = torch.randn(2, *image_shape, generator=torch.Generator().manual_seed(0)).to(device)

    def tried(memory: torch.memory_format, work: _Work) -> Tensor | None:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            try:
                return work(_lay(copy.deepcopy(network), memory), images)
            except Exception:  # whatever foreign code raises
                return None

    if tried(torch.channels_last, _passes) is None:
        return tried(torch.contiguous_format, _passes) is None
    last = tried(torch.channels_last, _numbers)
    plain = tried(torch.contiguous_format, _numbers)
    if last is None or plain is None:  # the network insists on float32
        return True
    return torch.allclose(last, plain, rtol=0, atol=_EXACT * float(plain.abs().max()))


_Work = Callable[[nn.Module, Tensor], Tensor]


def _passes(network: nn.Module, images: Tensor) -> Tensor:
    """Go forward and back in both modes."""
    total = torch.zeros(())
    with torch.enable_grad():
        for training in (True, False):
            output = network.train(training)(images)
            total = output.float().sum()
            if total.requires_grad:
                total.backward()  # type: ignore[no-untyped-call]
    return total.detach()


def _numbers(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits in float64, in which only another computation gives other numbers."""
    with torch.no_grad():
        logits: Tensor = network.double().eval()(images.double())
    return logits.nan_to_num()


@torch.no_grad()
def _lay(network: nn.Module, memory: torch.memory_format) -> nn.Module:
    """Lay out what has four axes, in place; nothing else has channels last."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=memory)
    return network
