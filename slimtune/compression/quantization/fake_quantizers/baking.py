"""The network that the file computes: in plain layers, or with what training learned."""

from collections.abc import Mapping

import torch
from torch import nn

from slimtune.compression.network.copies import cloned
from slimtune.compression.quantization.fake_quantizers.clipping import ClippedInput, uniform_levels
from slimtune.compression.quantization.fake_quantizers.layers import (
    InputQuantizer,
    fake_quantized,
    strip,
)
from slimtune.compression.quantization.protocol import StoredWeight


def bake(model: nn.Module, stored: Mapping[str, StoredWeight]) -> nn.Module:
    """Return a copy in plain layers whose quantized weights are ``scale * integers``.

    Args:
        model: with or without fake quantizers; not modified.
        stored: integers by the weight's qualified name.
    """
    plain = strip(cloned(model))
    # `stored` may name a shared weight by any of its names.
    parameters = dict(plain.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, weight in stored.items():
            parameters[name].copy_(torch.from_numpy(weight.dequantized()))
    return plain.eval()


def one_a_weight(model: nn.Module, stored: Mapping[str, StoredWeight]) -> dict[str, StoredWeight]:
    """Return ``stored`` with the first one's integers under all names of a shared weight.

    Names that are no parameters (computed weights) are left out.
    """
    first: dict[int, str] = {}
    names = {
        name: first.setdefault(id(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if name in stored
    }
    return {name: stored[one] for name, one in names.items()}


def as_in_file(model: nn.Module, stored: Mapping[str, StoredWeight]) -> nn.Module:
    """Return a copy that computes what the file will, as far as training settled it.

    Weights without fake quantizers become ``scale * integers``, as in `bake`. Layers with fake
    quantizers keep them, but round their inputs to the file's 8 bits on the learned range: values
    beyond it are clipped, as a plain layer would not do.

    Args:
        model: with or without fake quantizers; not modified.
        stored: integers by the weight's qualified name.
    """
    network = cloned(model).eval()
    learned = dict(fake_quantized(network))
    for layer in learned.values():
        if layer.input_quantizer is not None:
            layer.input_quantizer = _eight_bits(layer.input_quantizer)
    parameters = dict(network.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, weight in stored.items():
            if name not in learned:
                parameters[name].copy_(torch.from_numpy(weight.dequantized()))
    return network


def halved(model: nn.Module) -> nn.Module:
    """Return a copy whose weights are half precision numbers, still in float32.

    Rounded to nearest even; ``|error| <= 2^-11 |w|`` from 2^-14 on. Biases and normalisations are
    few and stay. Weights beyond half's largest number, 65504, are cut there.

    Args:
        model: plain layers; not modified.
    """
    rounded = cloned(model)
    largest = torch.finfo(torch.float16).max
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.clamp(-largest, largest).half().float())
    return rounded


def _eight_bits(learned: InputQuantizer) -> InputQuantizer:
    low, high = learned.range()
    return ClippedInput(high, uniform_levels(8, signed=low < 0), learned=False)
