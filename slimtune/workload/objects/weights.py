"""Weights that are handed in as a state dict, or inside a trained module."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from slimtune.errors import ModelError, shortened
from slimtune.workload.computed_weights import load_and_fold
from slimtune.workload.objects.networks import Snapshot
from slimtune.workload.objects.references import kept_reference
from slimtune.workload.own_code import called, load_code, object_key


def weights_reference(weights: Any, key: str) -> str:
    """Return the reference of weights: the path of a file, or a name for what they hold.

    Args:
        weights: a path; a reference; a state dict; a module, whose state dict is taken.
        key: the parameter that they were handed in as.

    Raises:
        ModelError: they are something else.
    """
    if isinstance(weights, str | Path):
        return str(weights)
    if isinstance(weights, nn.Module):
        weights = weights.state_dict()
    if isinstance(weights, Mapping) and weights:
        kept = {name: _copied(value) for name, value in weights.items()}
        return kept_reference("weights", "state_dict", kept, kept)
    raise ModelError(
        f"{key}: must be a file or a state dict (network.state_dict()), but got "
        f"{type(weights).__name__} {shortened(weights)}"
    )


def take_weights(network: nn.Module, weights: str, model: str) -> str:
    """Load weights into a network in place, from a file or from what was handed in.

    Args:
        network: just built.
        weights: a path, or a reference from `weights_reference` or `network_reference`.
        model: the reference that the network was built from.

    Returns:
        What was taken and what was left, in words; see `load_weights`.

    Raises:
        ModelError: they cannot be used; see `load_weights`.
    """
    if object_key(weights) is None:
        return load_and_fold(network, Path(weights))
    if weights == model:  # a trained module, and the network is a copy of it
        return ""
    held = load_code(weights, ModelError)
    content = held.network.state_dict() if isinstance(held, Snapshot) else held
    return load_and_fold(network, Path(called(weights)), content)


def _copied(value: Any) -> Any:
    """Return a tensor as it is now, on the CPU: training may go on with the user's own."""
    if isinstance(value, Mapping):
        return {name: _copied(each) for name, each in value.items()}
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value
