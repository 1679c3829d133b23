"""Networks and metrics that are handed in: modules, classes, functions."""

import copy
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from slimtune.errors import ConfigError, ModelError, shortened
from slimtune.workload.computed_weights import detach_computed_weights
from slimtune.workload.objects.references import importable_name, kept_reference

_WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module"}
_WRAPPERS |= {"OptimizedModule": "_orig_mod"}
"""Class of torch's that wraps a network -> its attribute that holds the network."""


@dataclass(frozen=True)
class Snapshot:
    """A network as it was when it was handed in, as a function that returns copies.

    Attributes:
        network: a copy of the user's, on the CPU.
    """

    network: nn.Module

    def __call__(self) -> nn.Module:
        """Return a copy, with the weights it was handed in with."""
        return copy.deepcopy(self.network)


def network_reference(network: object, key: str) -> str:
    """Return the reference of a network.

    Args:
        network: a reference, which is returned as it is; a module; a class or function.
        key: the parameter that it was handed in as, for messages.

    Raises:
        ModelError: it is something else, or a module that cannot be copied.
    """
    if isinstance(network, str):
        return network
    if isinstance(network, nn.Module):
        kept = _snapshot(network, key)
        return kept_reference("model", type(kept).__name__, kept, Snapshot(kept))
    if callable(network):
        name = getattr(network, "__name__", type(network).__name__)
        listed = _listed_name(network) or importable_name(network)
        return listed or kept_reference("model", _plain(name), network, network)
    if isinstance(network, Mapping) and any(isinstance(v, Tensor) for v in network.values()):
        raise ModelError(
            f"{key}: must be a network, but got a state dict, which is weights without one; give "
            "it as weights, and what makes the network as model"
        )
    raise ModelError(
        f"{key}: must be a torch module, a class or function that makes one, or a reference such "
        f"as 'resnet20', but got {type(network).__name__} {shortened(network)}"
    )


def metric_reference(objective: Any) -> Any:
    """Return an objective's text; of ``(function, "maximize")``, the reference of both.

    Raises:
        ConfigError: a function without a direction, or with another.
    """
    if callable(objective):
        raise ConfigError(
            f"objectives: say which way of {_name_of(objective)} is better: "
            f"({_name_of(objective)}, 'maximize') or ({_name_of(objective)}, 'minimize')"
        )
    if not isinstance(objective, list | tuple) or not callable(objective[0] if objective else 0):
        return objective
    if len(objective) != 2 or objective[1] not in ("maximize", "minimize"):
        raise ConfigError(
            f"objectives: a metric of your own is (function, 'maximize') or (function, "
            f"'minimize'), but got {shortened(objective)}"
        )
    function, direction = objective
    name = _plain(_name_of(function))
    reference = importable_name(function) or kept_reference("metric", name, function, function)
    return f"{reference}:{direction}"


def _snapshot(network: nn.Module, key: str) -> nn.Module:
    while (held := _WRAPPERS.get(type(network).__name__)) is not None:
        network = getattr(network, held)
    detach_computed_weights(network)
    try:
        return copy.deepcopy(network).cpu()
    except Exception as error:  # the user's own
        words = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"{key}: {type(network).__name__} cannot be copied: {type(error).__name__}: {words}; "
            "give the function or class that makes it, and weights=network.state_dict()"
        ) from error


def _listed_name(function: Any) -> str | None:
    """Return ``torchvision:NAME`` or ``timm:NAME`` of a function that these libraries list."""
    family = str(getattr(function, "__module__", "")).partition(".")[0]
    look_up = {"torchvision": "get_model_builder", "timm": "model_entrypoint"}.get(family)
    listing: Any = sys.modules.get(f"{family}.models")
    if look_up is None or listing is None or not inspect.isfunction(function):
        return None
    try:
        found = getattr(listing, look_up)(function.__name__)
    except Exception:  # each has errors of its own for a name that it does not know
        return None
    return f"{family}:{function.__name__}" if found is function else None


def _name_of(thing: Any) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))


def _plain(name: str) -> str:
    return {"<lambda>": "lambda_", "partial": "partial_"}.get(name, name)
