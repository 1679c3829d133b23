"""The layers that hold most of a network's weights, in the order in which they compute."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from slimtune.workload.shortcut import SelectionConv2d


@dataclass(frozen=True)
class WeightLayer:
    """A convolution or linear layer.

    Attributes:
        name: qualified name of the module.
        module: the layer itself.
        level: resolution level, counted from 0; it rises by 1 when the image becomes smaller.
            Linear layers belong to the last convolution's level.
        first: whether it is the first of the network.
        last: whether it is the last of the network.
    """

    name: str
    module: nn.Module
    level: int
    first: bool
    last: bool

    @property
    def weight(self) -> Tensor:
        """The weight, (out, in/groups, ...)."""
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def weight_name(self) -> str:
        """Qualified name of the weight."""
        return f"{self.name}.weight" if self.name else "weight"


def weight_layers(model: nn.Module, example: Tensor) -> list[WeightLayer]:
    """Return convolutions and linear layers in the order of their first call.

    Frozen 0/1 selections (`SelectionConv2d`) and transposed convolutions are left out.

    Args:
        model: left as it is; run once in eval mode without gradient.
        example: one batch, (n, channels, height, width), on the model's device.
    """
    sizes: dict[nn.Module, int] = {}

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        pixels = output[0, 0].numel() if isinstance(module, _ConvNd) else 0
        sizes.setdefault(module, pixels)

    layers = [m for m in model.modules() if is_weight_layer(m)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    names = {module: name for name, module in model.named_modules()}
    layers_in_order, level, smallest = [], 0, 0
    for index, (module, pixels) in enumerate(sizes.items()):
        if pixels and smallest and pixels < smallest:
            level += 1
        smallest = min(smallest, pixels) if smallest and pixels else smallest or pixels
        layers_in_order.append(
            WeightLayer(names[module], module, level, index == 0, index == len(sizes) - 1)
        )
    return layers_in_order


def is_weight_layer(module: nn.Module) -> bool:
    """Return whether a module is one that `weight_layers` lists if it is called."""
    if isinstance(module, SelectionConv2d):
        return False
    forward = isinstance(module, _ConvNd) and not module.transposed
    return forward or isinstance(module, nn.Linear)
