"""Convolutions and linear layers that are subclasses with a forward of their own.

Nothing is assumed about the code of such a layer; its calls are observed. Its forward contains
one call of a kernel (``F.conv2d``, ``F.linear``) with a weight of the layer's shape. The arguments
of that call are the weight as the layer computes it and the input as the layer pads it. These are
what a file stores and what quantizers act on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from slimtune.compression.network.layers import is_weight_layer, weight_layers
from slimtune.compression.quantization.protocol import Quantizer

_KERNELS = (torch.conv1d, torch.conv2d, torch.conv3d, F.linear)
_NAMES = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_USUAL = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class Kernel:
    """The one call of a kernel in a layer's forward.

    Attributes:
        value: what it reads.
        weight: what it multiplies with, shaped like the layer's.
        settings: stride, padding, dilation and groups, where they are given.
        output_shape: of what it gives.
    """

    value: Tensor
    weight: Tensor
    settings: dict[str, Any]
    output_shape: torch.Size

    def as_layer(self) -> nn.Module:
        """Return a usual layer, without numbers, that makes this call."""
        out, inner, *size = self.weight.shape
        if not size:
            return nn.Linear(inner, out, bias=False, device="meta")
        inputs = inner * self.settings.get("groups", 1)
        kernel = tuple(size)
        return nn.Conv2d(inputs, out, kernel, bias=False, device="meta", **self.settings)  # type: ignore[arg-type]


def has_own_forward(layer: nn.Module) -> bool:
    """Return whether a layer with a weight is a subclass of the usual ones."""
    own = is_weight_layer(layer) and type(layer) not in _USUAL
    return own and isinstance(layer, _USUAL) and "weight" in layer._parameters


def kernel_of(layer: nn.Module, x: Tensor) -> Kernel | None:
    """Return the kernel call that a layer makes for ``x``, or None if there is no single one.

    None as well if the weight depends on the layer's input.

    Args:
        layer: in eval mode; not modified.
        x: an input of the layer.
    """
    calls = _calls(layer, x)
    others = _calls(layer, x.flip(-1) * 0.5 + 0.1)  # any other numbers of the same shape
    if len(calls) != 1 or len(others) != 1 or not torch.equal(calls[0].weight, others[0].weight):
        return None
    return calls[0]


def _calls(layer: nn.Module, x: Tensor) -> list[Kernel]:
    calls: list[Kernel] = []

    def note(call: Callable[..., Tensor], arguments: dict[str, Any]) -> Tensor:
        result = call(**arguments)
        settings = {n: v for n, v in arguments.items() if n in _NAMES[3:]}
        calls.append(Kernel(arguments["input"], arguments["weight"], settings, result.shape))
        return result

    with torch.no_grad(), _AtKernel(layer.get_parameter("weight").shape, note):
        type(layer).forward(layer, x)  # not layer(x): the caller may be a hook of this layer
    return calls


class _AtKernel(TorchFunctionMode):
    """Replaces kernel calls with weights of one shape by calls of ``replace``."""

    def __init__(self, shape: torch.Size, replace: Callable[..., Tensor]) -> None:
        super().__init__()
        self.shape, self.replace = shape, replace

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _KERNELS:
            arguments = {**dict(zip(_NAMES, args, strict=False)), **(kwargs or {})}
            if arguments["weight"].shape == self.shape:
                return self.replace(func, arguments)
        return func(*args, **(kwargs or {}))


class AtKernel(nn.Module):
    """Mixed into a layer's class by `derived`: changes the arguments of its kernel call."""

    plain: type[nn.Module]
    weight: Tensor

    def kernel_weight(self) -> Tensor | None:
        """Return the weight that the kernel gets; None: what the layer computes."""
        return None

    def kernel_input(self, x: Tensor) -> Tensor:
        """Return what the kernel reads."""
        return x

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute what the layer computes, with another weight or input at its kernel."""

        def replace(call: Callable[..., Tensor], arguments: dict[str, Any]) -> Tensor:
            weight = self.kernel_weight()
            arguments["input"] = self.kernel_input(arguments["input"])
            arguments["weight"] = arguments["weight"] if weight is None else weight
            return call(**arguments)

        with _AtKernel(self.weight.shape, replace):
            return super().forward(*args, **kwargs)


class HeldWeight(AtKernel):
    """The kernel gets the parameter ``weight`` itself, not a weight computed from it."""

    def kernel_weight(self) -> Tensor | None:
        """Return the parameter."""
        return self.weight


def derived(kind: type[nn.Module], mixin: type[AtKernel]) -> type[Any]:
    """Return the class of layers of ``kind`` with ``mixin``; ``plain`` leads back."""
    return type(f"{mixin.__name__}{kind.__name__}", (mixin, kind), {"plain": kind})


def hold_weights(model: nn.Module, images: Tensor) -> nn.Module:
    """Make computed weights (weight standardisation) the layers' plain parameters.

    In place: the parameter takes the value that the kernel was given, and the layer no longer
    computes one. The network computes the same as before.

    Args:
        model: plain layers.
        images: normalised, float32 (n, channels, height, width), on the model's device.
    """
    for layer, kernel in own_kernels(model, images).items():
        if kernel is not None and not torch.equal(kernel.weight, layer.get_parameter("weight")):
            with torch.no_grad():
                layer.get_parameter("weight").copy_(kernel.weight)
            hold(layer)
    return model


def prepared(quantizer: Quantizer, model: nn.Module, images: Tensor) -> nn.Module:
    """Return what ``quantizer.prepare`` makes of the network, whose layers hold their weights.

    Args:
        quantizer: of weights to integers, or of none.
        model: plain layers; may be changed in place.
        images: as for `Quantizer.prepare`.
    """
    ready = hold_weights(model, images[:2]) if quantizer.bits <= 8 else model
    return quantizer.prepare(ready, images)


def hold(layer: nn.Module) -> None:
    """Let a layer with a forward of its own use its weight as it is, in place."""
    layer.__class__ = derived(type(layer), HeldWeight)


def own_kernels(model: nn.Module, images: Tensor) -> dict[nn.Module, Kernel | None]:
    """Return the kernel calls of all layers with a forward of their own that are called."""
    layers = [layer for layer in model.modules() if has_own_forward(layer)]
    if not layers:
        return {}
    kernels: dict[nn.Module, Kernel | None] = {}

    def note(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        if layer not in kernels:
            kernels[layer] = kernel_of(layer, args[0])

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        weight_layers(model, images)  # runs it once in eval mode
    finally:
        for hook in hooks:
            hook.remove()
    return kernels


def uses_its_weight(layer: nn.Module, own: Mapping[nn.Module, Kernel | None]) -> bool:
    """Return whether the kernel of a layer gets the layer's weight as it is.

    Args:
        layer: a convolution or linear layer.
        own: from `own_kernels`, of the network that the layer is in.
    """
    kernel = own.get(layer)
    same = kernel is not None and torch.equal(kernel.weight, layer.get_parameter("weight"))
    return layer not in own or same


def held_weights(model: nn.Module) -> list[str]:
    """Return the qualified names of the layers that hold their weight."""
    return [name for name, module in model.named_modules() if isinstance(module, HeldWeight)]


def set_held_weights(network: nn.Module, names: list[str]) -> nn.Module:
    """Let the named layers hold their weight, in place, and return the network.

    Raises:
        ValueError: a name that no layer with a forward of its own has.
    """
    modules = dict(network.named_modules())
    for name in names:
        if name not in modules or not has_own_forward(modules[name]):
            raise ValueError(f"held_weights: '{name}' is no layer with a forward of its own")
        hold(modules[name])
    return network
