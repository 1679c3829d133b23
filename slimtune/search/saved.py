"""A compressed network back from its trial folder, without pickle: architecture, then shapes."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from slimtune.compression.rebuild import resize_to
from slimtune.errors import ModelError
from slimtune.results.files import read_json
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


def load_model(folder: Path | str) -> nn.Module:
    """Return the torch module that a trial folder or an export holds, in eval mode.

    Args:
        folder: holds ``model.safetensors`` and ``model.json``.

    Raises:
        ModelError: the files are missing, damaged or do not belong together.
    """
    folder = Path(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{folder}: no model.safetensors there; give a trial or export folder")
    description = read_json(folder / "model.json")
    network = build(Architecture(**description["architecture"]))
    return resize_to(network, load_file(weights)).eval()
