"""The network that the file computes, in plain layers."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from slimtune.compression.quantization.layers import strip
from slimtune.compression.quantization.protocol import StoredWeight


def bake(model: nn.Module, stored: Mapping[str, StoredWeight]) -> nn.Module:
    """Return a copy in plain layers whose quantized weights are ``scale * integers``.

    Args:
        model: with or without fake quantizers; not modified.
        stored: integers by the weight's qualified name.
    """
    plain = strip(copy.deepcopy(model))
    parameters = dict(plain.named_parameters())
    with torch.no_grad():
        for name, weight in stored.items():
            parameters[name].copy_(torch.from_numpy(weight.dequantized()))
    return plain.eval()


def halved(model: nn.Module) -> nn.Module:
    """Return a copy whose weights are half precision numbers, still in float32.

    Rounded to nearest even; ``|error| <= 2^-11 |w|`` from 2^-14 on. Biases and normalisations are
    few and stay. Weights beyond half's largest number, 65504, are cut there.

    Args:
        model: plain layers; not modified.
    """
    rounded = copy.deepcopy(model)
    largest = torch.finfo(torch.float16).max
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.clamp(-largest, largest).half().float())
    return rounded
