"""A compressed network back from its trial folder, without pickle: architecture, then shapes."""

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from slimtune.compression.quantization.input_ranges import set_input_ranges
from slimtune.compression.rebuild import resize_to
from slimtune.errors import ModelError
from slimtune.results.files import read_json
from slimtune.workload import own_code
from slimtune.workload.checkpoints import read_weights
from slimtune.workload.computed_weights import fold_computed_weights
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


def load_model(
    folder: Path | str, *, allow_code: bool = False, model: str | None = None
) -> nn.Module:
    """Return the torch module that a trial folder or an export holds, in eval mode.

    It computes what the folder's model.onnx computes, in float: exactly so where the file does
    too. Where the file rounds activations to 8 bits, layers that were trained with a clipped
    input clip and round as the file does and the others do not round: what is left is rounding
    noise, of every quantizer on digits below 3 % of the logits' spread, and the same class on
    98 % of the images or more.

    Args:
        folder: holds ``model.safetensors`` and ``model.json``.
        allow_code: run the code that model.json names, if its network is of the user's own.
        model: take this reference instead of the one in model.json, such as where the file
            with the code has moved; code that is named here may run.

    Raises:
        ConfigError: model.json names code, and nobody allowed to run it.
        ModelError: the weights are missing or damaged, or do not belong to the description.
        RunError: the description is damaged.
    """
    folder = Path(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{folder}: no model.safetensors there; give a trial or export folder")
    description = read_json(folder / "model.json")
    try:
        architecture = Architecture(**description["architecture"])
    except (KeyError, TypeError):
        raise ModelError(
            f"{folder / 'model.json'}: names no architecture; make the trial again with rerun"
        ) from None
    if model is not None:
        architecture = dataclasses.replace(architecture, name=model)
    if allow_code or model is not None:
        own_code.allow_code(architecture.name)
    network = resize_to(fold_computed_weights(build(architecture)), read_weights(weights))
    return _ranged(network, description.get("input_ranges", {}), folder / "model.json").eval()


def _ranged(network: nn.Module, ranges: Any, where: Path) -> nn.Module:
    """Let layers clip their inputs as they did in training."""
    try:
        return set_input_ranges(network, {name: (a, b) for name, (a, b) in ranges.items()})
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"{where}: damaged ({error}); make the trial again with rerun") from None
