"""Masks that keep removed weights at 0."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from slimtune.compression.network.layers import is_weight_layer
from slimtune.compression.stages import Prune


def removes_weights(prune: Prune | None) -> bool:
    """Return whether the stage removes single weights rather than channels."""
    return prune is not None and prune.method.removes == "weights"


@torch.no_grad()
def zero(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set parameters to exactly 0 where their mask is False, in place.

    Args:
        model: the network.
        masks: boolean, True where a value stays, by the parameter's name and shaped like it.
    """
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        parameter.masked_fill_(~mask.to(parameter.device), 0.0)


def hold_zeros(model: nn.Module, then: Callable[[], None]) -> Callable[[], None]:
    """Return a function that sets weights which are exactly 0 now to 0 again, then calls ``then``.

    To be called after each step of an optimizer: momentum, weight decay and preconditioning move
    weights whatever their gradient is.

    Args:
        model: what `weight_layers` may list, and so a method may have pruned, is watched.
        then: called after.
    """
    weights = [m.get_parameter("weight") for m in model.modules() if is_weight_layer(m)]
    watched = [(weight, weight.detach() == 0) for weight in weights]
    watched = [(weight, zeros) for weight, zeros in watched if bool(zeros.any())]

    def apply() -> None:
        with torch.no_grad():
            for weight, zeros in watched:
                weight.masked_fill_(zeros, 0.0)
        then()

    return apply
