"""Reduces a network's output to its logits: without auxiliary heads, hidden states or a dict."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class FirstLogits:
    """A forward hook that returns the logits of what a network returns, and a tensor as it is.

    Logits are the first tensor of shape (n, classes), in the order of a tuple, of a dictionary
    or of the fields of a dataclass; one that is called ``logits`` goes before all. What holds no
    such tensor is returned as it is.

    Attributes:
        classes: how many logits an image has.
        keeps_tensors: always True: a network that returns a tensor computes the same without.
    """

    classes: int
    keeps_tensors: bool = True

    def __call__(self, network: nn.Module, inputs: Any, output: Any) -> Any:
        """Return the logits."""
        if isinstance(output, Tensor):
            return output
        return next((t for t in _tensors(output) if self._fits(t)), output)

    def _fits(self, tensor: Tensor) -> bool:
        return tensor.ndim == 2 and tensor.shape[1] == self.classes and tensor.is_floating_point()


def _tensors(output: Any) -> Iterator[Tensor]:
    """Yield every tensor inside, those called logits first."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for name in sorted(output, key=lambda name: name != "logits"):  # stable
            yield from _tensors(output[name])
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        names = [field.name for field in dataclasses.fields(output)]
        yield from _tensors({name: getattr(output, name) for name in names})
    elif isinstance(output, tuple) and hasattr(output, "_asdict"):
        yield from _tensors(output._asdict())
    elif isinstance(output, list | tuple):
        for each in output:
            yield from _tensors(each)
