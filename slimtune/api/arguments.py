"""The arguments of the Python functions: objects or strings. A search's settings are strings."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset

from slimtune.compression.recipe import Recipe
from slimtune.search.settings.references import code_in
from slimtune.workload import own_code
from slimtune.workload.objects.data import data_reference
from slimtune.workload.objects.networks import metric_reference, network_reference
from slimtune.workload.objects.weights import weights_reference
from slimtune.workload.types import Dataset

Array = np.ndarray | Tensor
Model = str | nn.Module | Callable[..., nn.Module]
"""A reference, a trained network, or a class or function that makes one."""
Weights = str | Path | Mapping[str, Tensor]
"""A file or a state dict."""
Data = (
    str
    | Dataset
    | Mapping[str, Any]
    | Sequence[Any]
    | TorchDataset[Any]
    | Callable[[], Any]
)  # fmt: skip
"""A reference, arrays, torch datasets, a `Dataset`, or a function that returns one of these."""
Metric = str | tuple[Callable[[np.ndarray, np.ndarray], float], str]
"""An objective's name, or a function of (logits, labels) and ``"maximize"`` or ``"minimize"``."""


def to_settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as settings, with a reference in place of each object.

    The call itself is the consent to run the code that it names.

    Args:
        arguments: argument name -> value; None means that it was not given.

    Raises:
        UserError: an object that cannot be used for its argument.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in ("model", "teacher"):
        if name in given:
            given |= _network(name, given)
    for name in ("weights", "teacher_weights"):
        if name in given:
            given[name] = weights_reference(given[name], name)
    if "data" in given:
        given["data"] = data_reference(given["data"])
    if isinstance(given.get("objectives"), list | tuple):
        given["objectives"] = tuple(map(metric_reference, given["objectives"]))
    if isinstance(given.get("start"), list | tuple):
        given["start"] = tuple(map(stages_of, given["start"]))
    if "space" in given:
        given["space"] = stages_of(given["space"])
    own_code.allow_code(*(reference for _, reference in code_in(given)))
    return given


def _network(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the setting ``name``, and the weights too if the network is a trained module."""
    network = given[name]
    reference = network_reference(network, name)
    weights = "weights" if name == "model" else f"{name}_weights"
    if isinstance(network, nn.Module) and weights not in given:
        return {name: reference, weights: reference}
    return {name: reference}


def stages_of(recipe: Any) -> Any:
    """Return a recipe or a space as nested mappings, with references in place of networks."""
    if isinstance(recipe, Recipe):
        return recipe.to_dict()
    student = recipe.get("student") if isinstance(recipe, Mapping) else None
    if not isinstance(student, Mapping) or "model" not in student:
        return recipe
    model = student["model"]
    if isinstance(model, list | tuple):
        named: Any = [network_reference(each, "student.model") for each in model]
    else:
        named = network_reference(model, "student.model")
    return {**recipe, "student": {**student, "model": named}}
