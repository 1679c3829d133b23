"""The theoretical cost of a network: parameters, MACs, bit operations, packed bytes."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class Cost:
    """Theoretical cost of one image.

    Attributes:
        params: learned numbers, with batch-norm scale and shift.
        nonzero: how many of them are not 0.
        sparsity: fraction of the weights of convolutions and linear layers that are 0, 0..1.
        macs: multiply-accumulates of convolutions and linear layers (one is two FLOPs).
        bops: bit operations, the sum over layers of MACs * weight bits * input bits.
        packed_bytes: weights in their bits, those of a sparse layer as a bitmap and its non-zero
            weights where that is less, plus 4 bytes for every other stored number.
    """

    params: int
    nonzero: int
    sparsity: float
    macs: int
    bops: int
    packed_bytes: int


@dataclass(frozen=True)
class _Layer:
    """One layer: its weight, its MACs for one image, and whether its input is always float32."""

    weight: Tensor
    macs: int
    reads_float: bool


def count_cost(
    model: nn.Module,
    image_shape: tuple[int, int, int],
    *,
    weight_bits: int = 32,
    activation_bits: int = 32,
    first_last_bits: int | None = None,
    input_bits: int | None = None,
    bits_of: Mapping[str, int] | None = None,
) -> Cost:
    """Count the cost of ``model`` for one image; ``model`` is not modified.

    A convolution takes ``Hout * Wout * Cout * Cin/groups * kh * kw`` MACs, a linear layer
    ``in * out``. ``packed_bytes`` has the n weights of a layer at their b bits, ``n b`` or, with
    a bitmap, ``n + b nonzero``, whichever is less, and as float32: biases, batch-norm scale,
    shift, mean and variance (not folded), one scale a layer for weights below 32 bits and one
    for activations below 32 bits. Modules with ``counts_as_parameters = False`` (frozen
    selections) cost nothing.

    Args:
        model: maps (n, channels, height, width) to anything.
        image_shape: (channels, height, width).
        weight_bits: bits of a weight, 1..32.
        activation_bits: bits of a layer's input, 1..32. Linear layers on maps or tokens, and
            those without a bias, read float32 all the same: our files have no integer kernel
            for them.
        first_last_bits: bits of weights and inputs of the first and the last layer, in the
            order of execution, instead of the two above.
        input_bits: bits of the first layer's input instead: 8 when it reads uint8 images.
        bits_of: bits of single weights instead, by qualified name.
    """
    network = model
    if model.training or any(p.device.type != "cpu" for p in model.parameters()):
        network = copy.deepcopy(model).to("cpu").eval()
    layers = _run(network, image_shape)
    ends = {0, len(layers) - 1} if first_last_bits is not None else set()
    bops = 0
    own = {id(network.get_parameter(name)): b for name, b in (bits_of or {}).items()}
    bits: dict[Tensor, tuple[int, int]] = {}
    for index, layer in enumerate(layers):
        w = first_last_bits if first_last_bits and index in ends else weight_bits
        a = first_last_bits if first_last_bits and index in ends else activation_bits
        a = input_bits if input_bits is not None and index == 0 else a
        w = own.get(id(layer.weight), w)
        a = 32 if layer.reads_float else a
        bops += layer.macs * w * a
        bits[layer.weight] = (w, a)
    parameters = _numbers(network, parameters_only=True)
    weights = max(1, sum(weight.numel() for weight in bits))
    return Cost(
        params=sum(p.numel() for p in parameters),
        nonzero=sum(int(p.count_nonzero()) for p in parameters),
        sparsity=sum(int((weight == 0).sum()) for weight in bits) / weights,
        macs=sum(layer.macs for layer in layers),
        bops=bops,
        packed_bytes=_packed_bytes(network, bits),
    )


def _run(network: nn.Module, image_shape: tuple[int, int, int]) -> list[_Layer]:
    layers: list[_Layer] = []

    def note(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        linear = isinstance(module, nn.Linear)
        reads_float = linear and (output.ndim > 2 or module.bias is None)
        layers.append(_Layer(weight, output[0].numel() * weight[0].numel(), reads_float))

    counted = [m for m in network.modules() if isinstance(m, _COUNTED) and _counts(m)]
    hooks = [module.register_forward_hook(note) for module in counted]
    try:
        with torch.no_grad():
            network(torch.zeros(1, *image_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return layers


def _counts(module: nn.Module) -> bool:
    return bool(getattr(module, "counts_as_parameters", True))


def _numbers(network: nn.Module, parameters_only: bool) -> list[Tensor]:
    """Return the distinct float tensors that are stored: parameters, and buffers if asked."""
    found: dict[int, Tensor] = {}
    for module in network.modules():
        if _counts(module):
            tensors: list[Tensor] = list(module.parameters(recurse=False))
            if not parameters_only:
                tensors += [b for b in module.buffers(recurse=False) if b.is_floating_point()]
            found |= {id(tensor): tensor for tensor in tensors}
    return list(found.values())


def _packed_bytes(network: nn.Module, bits_of: dict[Tensor, tuple[int, int]]) -> int:
    bits = 0
    for tensor in _numbers(network, parameters_only=False):
        weight, activation = bits_of.get(tensor, (32, 32))
        dense = tensor.numel() * weight
        sparse = tensor.numel() + weight * int(tensor.count_nonzero())
        bits += min(dense, sparse) if tensor in bits_of else dense
        bits += 32 * (weight < 32) + 32 * (activation < 32)
    return (bits + 7) // 8
