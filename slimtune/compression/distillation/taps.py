"""The resolution levels of a network of any architecture, found by running it once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slimtune.workload.shortcut import SelectionConv2d

Size = tuple[int, int]


@dataclass(frozen=True)
class Tap:
    """A feature map that a module reads or gives.

    Attributes:
        name: qualified name of the module.
        reads: whether it is what the module reads; else what it gives.
        size: height and width.
        channels: how many there are.
        producer: qualified name of the convolution that computed last before the map was there;
            empty for none.
        producer_channels: that convolution's output channels.
    """

    name: str
    reads: bool
    size: Size
    channels: int
    producer: str
    producer_channels: int

    @property
    def depth(self) -> int:
        """How many modules the module lies in."""
        return self.name.count(".")


@dataclass(frozen=True)
class Span:
    """One resolution level.

    Attributes:
        first: what its module reads; where that module is a lone layer, such as the last ReLU
            of a VGG level, the output of the network's first convolution.
        last: what its module gives.
    """

    first: Tap
    last: Tap


def find_levels(network: nn.Module, example: Tensor) -> dict[Size, Span]:
    """Return the level that ends at each resolution, from the largest to the smallest.

    For each height and width, the level ends at the last of the outermost modules with outputs of
    that size. Inside a block that halves a map there are maps of the old size too, but the blocks
    before it lie further out. The network itself and a backbone that contains the first
    convolution are no levels. Nor are sizes that no convolution gives, or of one pixel.

    Args:
        network: run once in eval mode without gradient; otherwise left as it is.
        example: one batch, (n, channels, height, width), on the network's device.
    """
    finder = _LevelFinder({module: name for name, module in network.named_modules()})
    hooks = []
    for module in network.modules():
        hooks.append(module.register_forward_pre_hook(finder.enter))
        hooks.append(module.register_forward_hook(finder.leave))
    try:
        with evaluating(network), torch.no_grad():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    sizes = [size for size in finder.spans if size in finder.sizes and size != (1, 1)]
    sizes.sort(key=lambda size: -size[0] * size[1])
    return {size: finder.spans[size] for size in sizes}


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put ``network`` into eval mode, and every module's own mode back at the end."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class _LevelFinder:
    """Notes for each size, while a network runs, the last of the outermost modules that give it.

    Attributes:
        spans: by height and width.
        sizes: heights and widths of the convolutions' outputs.
    """

    def __init__(self, names: dict[nn.Module, str]) -> None:
        self.spans: dict[Size, Span] = {}
        self.sizes: set[Size] = set()
        self._names = names
        self._first: Tap | None = None
        self._around_first: set[nn.Module] = set()
        self._producer = ("", 0)
        self._at_entry: dict[nn.Module, tuple[str, int]] = {}

    def enter(self, module: nn.Module, _: Any) -> None:
        """Note the last convolution before ``module`` was called."""
        self._at_entry[module] = self._producer
        if self._first is None and not isinstance(module, nn.Conv2d):
            self._around_first.add(module)

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Note the output of ``module``."""
        if not _is_maps(output):
            return
        # A frozen 0/1 selection moves channels; the keep lists are those of layers that learn.
        if isinstance(module, nn.Conv2d) and not isinstance(module, SelectionConv2d):
            self._producer = (self._names[module], module.out_channels)
        output_tap = self._tap(module, False, output, self._producer)
        if isinstance(module, nn.Conv2d):
            self.sizes.add(output_tap.size)
            self._first = self._first or output_tap
        best = self.spans.get(output_tap.size)
        if module in self._around_first or (best and best.last.depth < output_tap.depth):
            return
        begin = self._first or output_tap
        inside = list(module.modules())[1:]
        if _is_maps(*inputs[:1]) and any(isinstance(m, nn.Conv2d) for m in inside):
            begin = self._tap(module, True, inputs[0], self._at_entry[module])
        self.spans[output_tap.size] = Span(begin, output_tap)

    def _tap(self, module: nn.Module, reads: bool, maps: Tensor, producer: tuple[str, int]) -> Tap:
        size = (maps.shape[2], maps.shape[3])
        return Tap(self._names[module], reads, size, maps.shape[1], *producer)


def _is_maps(*values: object) -> bool:
    """Return whether the one value given is a batch of feature maps."""
    return len(values) == 1 and isinstance(values[0], Tensor) and values[0].ndim == 4
