"""Loads a compressed network from a trial folder, without pickle."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from slimtune.compression.network.rebuild import resize_to
from slimtune.compression.quantization.fake_quantizers.input_ranges import set_input_ranges
from slimtune.compression.quantization.fake_quantizers.own_forward import set_held_weights
from slimtune.errors import ModelError, RunError
from slimtune.results.store.files import read_json
from slimtune.results.store.integrity import WEIGHTS, find_fault, recorded_hashes
from slimtune.workload import own_code
from slimtune.workload.checkpoints import read_weights
from slimtune.workload.computed_weights import fold_computed_weights
from slimtune.workload.objects.networks import network_reference
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


def load_model(
    folder: Path | str,
    *,
    allow_code: bool = False,
    model: str | nn.Module | Callable[..., nn.Module] | None = None,
) -> nn.Module:
    """Return the torch module that a trial folder or an export holds, in eval mode.

    It computes in float what the folder's model.onnx computes: exactly the same if the file
    computes in float too. If the file rounds activations to 8 bits, layers that were trained with
    clipped inputs clip and round as the file does, and the other layers do not round. With every
    quantizer on digits, the difference was below 3 % of the logits' spread, and at least 98 % of
    the images got the same class.

    Args:
        folder: holds ``model.safetensors`` and ``model.json``.
        allow_code: run the user's own code, if model.json names any.
        model: build this network instead of the one that model.json names: a reference, for
            example if the file with the code has moved; or the class, function or module, if the
            network was given as an object. Code that is named here may run.

    Raises:
        ConfigError: model.json names code that is not allowed to run.
        ModelError: the weights are missing or damaged, or do not belong to the description.
        RunError: the description is damaged, or a file is not the one that was recorded.
    """
    folder = Path(folder)
    if fault := find_fault(folder, recorded_hashes(folder), WEIGHTS):
        raise RunError(f"{fault}; the file is not the one that was written")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{folder}: no model.safetensors there; give a trial or export folder")
    description = read_json(folder / "model.json")
    try:
        architecture = Architecture(**description["architecture"])
        if not isinstance(architecture.name, str):
            raise TypeError
    except (KeyError, TypeError):
        raise ModelError(
            f"{folder / 'model.json'}: names no architecture; restore the file from a copy"
        ) from None
    if model is not None:
        architecture = dataclasses.replace(architecture, name=network_reference(model, "model"))
    if allow_code or model is not None:
        own_code.allow_code(architecture.name)
    network = resize_to(fold_computed_weights(build(architecture)), read_weights(weights))
    return _restore_layers(network, description, folder / "model.json").eval()


def _restore_layers(network: nn.Module, description: Mapping[str, Any], where: Path) -> nn.Module:
    """Restore which layers hold their weights and clip their inputs, as in training."""
    ranges, held_weights = description.get("input_ranges", {}), description.get("held_weights", [])
    try:
        network = set_held_weights(network, held_weights)
        return set_input_ranges(network, {name: (a, b) for name, (a, b) in ranges.items()})
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"{where}: damaged ({error}); restore the file from a copy") from None
