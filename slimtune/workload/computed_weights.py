"""Turns weights that a network computes in every forward pass into plain weights.

Weight normalisation, spectral normalisation, orthogonal weights and masks train other numbers than
those that a layer uses. Pruning, rounding and export need the numbers that it uses.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm

from slimtune.errors import ModelError
from slimtune.workload.checkpoints import load_weights

_REMOVERS: Mapping[type, tuple[str, Callable[[nn.Module, str], Any]]] = {
    WeightNorm: ("name", remove_weight_norm),
    SpectralNorm: ("name", remove_spectral_norm),
    prune.BasePruningMethod: ("_tensor_name", prune.remove),
}
"""Class of hook that computes a weight -> (attribute with its name, function that removes it)."""


def fold_computed_weights(network: nn.Module) -> nn.Module:
    """Replace computed weights by plain parameters of the same values, in place; return it.

    Args:
        network: as it computes in evaluation; its mode is kept. Without computed weights it is
            left as it is.

    Raises:
        ModelError: a layer's weight is computed in a way that cannot be taken off.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()  # in training, spectral normalisation goes on estimating
    for name, module in list(network.named_modules()):
        try:
            _fold(module)
        except Exception as error:  # the user's own parametrization
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise _unknown(name, reason) from error
        known = isinstance(module, _ConvNd | nn.Linear)
        if known and not isinstance(module._parameters.get("weight"), Tensor):
            raise _unknown(name, "it is no parameter")
    for module, mode in modes.items():
        module.training = mode
    return network


def load_and_fold(network: nn.Module, path: Path, content: Any = None) -> str:
    """Load a weights file into a network and fold what it computes, in place.

    Args:
        network: just built.
        path: a file with the numbers that are trained, or with the weights in use.
        content: as of `load_weights`.

    Returns:
        As `load_weights`.

    Raises:
        ModelError: as `load_weights` and `fold_computed_weights`.
    """
    if _computes(network):
        try:
            taken = load_weights(network, path, content)
        except ModelError:  # it may hold the weights in use, as after another loading
            fold_computed_weights(network)
        else:
            fold_computed_weights(network)
            return taken
    return load_weights(network, path, content)


def detach_computed_weights(network: nn.Module) -> None:
    """Detach tensors that hooks computed: the network could not be copied otherwise."""
    for module in network.modules():
        for name, value in module.__dict__.items():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                module.__dict__[name] = value.detach()


def _fold(module: nn.Module) -> None:
    if parametrize.is_parametrized(module):
        assert isinstance(module.parametrizations, nn.ModuleDict)
        for name in list(module.parametrizations):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    for hook in list(module._forward_pre_hooks.values()):
        for kind, (attribute, remove) in _REMOVERS.items():
            if isinstance(hook, kind):
                remove(module, getattr(hook, attribute))
    for key, wrapped in list(module._load_state_dict_pre_hooks.items()):
        # torch's remove_spectral_norm forgets it, and it asks for what is gone.
        if isinstance(getattr(wrapped, "hook", None), SpectralNormLoadStateDictPreHook):
            del module._load_state_dict_pre_hooks[key]


def _computes(network: nn.Module) -> bool:
    return any(
        parametrize.is_parametrized(module)
        or any(isinstance(h, tuple(_REMOVERS)) for h in module._forward_pre_hooks.values())
        for module in network.modules()
    )


def _unknown(layer: str, reason: str) -> ModelError:
    return ModelError(
        f"the weight of layer '{layer}' is computed in a way that cannot be folded ({reason}); "
        "make it a parameter of the network"
    )
