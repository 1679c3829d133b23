"""The protocol of zoo entries: a function that builds an untrained classifier."""

from collections.abc import Callable

from torch import nn

from slimtune.registry import Registry

ZOO: Registry[Callable[[int, int], nn.Module]] = Registry("model")
"""Builders by name. Each takes (num_classes, in_channels) and returns an initialised network
that maps (n, in_channels, height, width) to logits, (n, num_classes)."""
