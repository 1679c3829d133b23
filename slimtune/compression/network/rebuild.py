"""Rebuilds a pruned network from its architecture and its weights, whose shapes tell the cuts."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from slimtune.errors import ModelError
from slimtune.workload.shortcut import PadShortcut, materialize_shortcuts


def resize_to(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Cut a freshly built network to the sizes found in ``state`` and load it, in place.

    Convolutions (depthwise and grouped ones too), linear layers, batch norms and PReLUs take
    their sizes from the tensors. Shortcuts are materialised if ``state`` holds their weights.

    Args:
        model: the architecture that was pruned, at its original sizes.
        state: the pruned network's state dict.

    Returns:
        ``model``, which computes bit for bit what the saved network computes.

    Raises:
        ModelError: a key is missing, unknown or of a shape that cannot fit; names the first.
    """
    shortcuts = [n for n, module in model.named_modules() if isinstance(module, PadShortcut)]
    if any(f"{name}.weight" in state for name in shortcuts):
        materialize_shortcuts(model)
    for name, module in model.named_modules():
        _resize(module, f"{name}." if name else "", state)
    _require_fit(model, state)
    model.load_state_dict(dict(state), strict=True)
    return model


def _resize(module: nn.Module, prefix: str, state: Mapping[str, Tensor]) -> None:
    """Give one layer the sizes of its stored tensors; the check reports those that cannot fit."""
    weight = state.get(f"{prefix}weight")
    if isinstance(module, _BatchNorm):
        stored = weight if weight is not None else state.get(f"{prefix}running_mean")
        if stored is not None and stored.ndim == 1:
            module.num_features = len(stored)
            for name in ("weight", "bias", "running_mean", "running_var"):
                _reshape(module, name, tuple(stored.shape))
    elif weight is None:
        return
    elif isinstance(module, _ConvNd):
        _resize_conv(module, tuple(weight.shape))
    elif isinstance(module, nn.Linear) and weight.ndim == 2:
        module.out_features, module.in_features = weight.shape
        _reshape(module, "weight", tuple(weight.shape))
        _reshape(module, "bias", (module.out_features,))
    elif isinstance(module, nn.PReLU) and weight.ndim == 1 and module.num_parameters > 1:
        module.num_parameters = len(weight)
        _reshape(module, "weight", tuple(weight.shape))


def _resize_conv(conv: _ConvNd, shape: tuple[int, ...]) -> None:
    if shape[2:] != tuple(conv.kernel_size):
        return
    depthwise = 1 < conv.groups == conv.in_channels == conv.out_channels
    groups = shape[0] if depthwise else conv.groups
    if depthwise and shape[1] != 1 or shape[0] % max(groups, 1):
        return
    conv.groups = groups
    if conv.transposed:
        conv.in_channels, conv.out_channels = shape[0], shape[1] * groups
    else:
        conv.in_channels, conv.out_channels = shape[1] * groups, shape[0]
    _reshape(conv, "weight", shape)
    _reshape(conv, "bias", (conv.out_channels,))


def _reshape(module: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    old = getattr(module, name)
    if old is None or tuple(old.shape) == shape:
        return
    new = old.detach().new_empty(shape)
    parameter = isinstance(old, nn.Parameter)
    setattr(module, name, nn.Parameter(new, old.requires_grad) if parameter else new)


def _require_fit(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    way_out = "use the weights with the architecture they were saved from"
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    for key, shape in expected.items():
        if key not in state:
            raise ModelError(f"weights lack the key '{key}'; {way_out}")
        if tuple(state[key].shape) != shape or 0 in shape:
            raise ModelError(
                f"weights '{key}': the shape {tuple(state[key].shape)} does not fit a layer "
                f"of shape {shape}; {way_out}"
            )
    for key in state:
        if key not in expected:
            raise ModelError(f"weights hold the unknown key '{key}'; {way_out}")
