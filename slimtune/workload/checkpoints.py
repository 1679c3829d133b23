"""Weights files: read without ever running what is in them, written as safetensors."""

import os
import warnings
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from slimtune.errors import ModelError, shortened
from slimtune.workload.shortcut import PadShortcut

_WRAPPERS = ("state_dict", "model", "net")
_COUNTER = "num_batches_tracked"  # absent from old checkpoints; no output depends on it
_BARE_PICKLES = (b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save begins otherwise


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a weights file into ``model``, in place; every tensor must find its like.

    ``.safetensors`` files are read by safetensors, all others by ``torch.load`` with
    ``weights_only=True`` and no other attempt: a pickled object in the file is never run.
    Wrappers called ``state_dict``, ``model`` or ``net`` and the prefix ``module.`` of
    data-parallel training are taken off.

    Args:
        model: receives the weights; left as it was when the file is refused.
        path: the file.

    Raises:
        ModelError: a file that is missing, damaged, or holds objects other than tensors;
            names or shapes that differ from the model's; weights that are not finite.
    """
    path = Path(path)
    weights = _without_selections(model, _tensors(_read(path), path))
    _check_names(model, weights, path)
    _check_shapes(model, weights, path)
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: {name} must be finite, but has NaN or infinite values")
    model.load_state_dict({**_counters(model), **weights}, strict=True)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, unwrapped as by `load_weights`.

    Raises:
        ModelError: a file that is missing, damaged, or holds objects other than tensors.
    """
    return _tensors(_read(path), path)


def parse_weights(data: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a safetensors file by name.

    Args:
        data: content of the file.
        path: where it came from, for the message.

    Raises:
        ModelError: damaged.
    """
    try:
        return safetensors.torch.load(data)
    except Exception as error:  # safetensors raises whatever the damaged bytes lead it to
        raise _unreadable(path, error) from error


def weights_bytes(model: nn.Module) -> bytes:
    """Return the weights and buffers of ``model`` as the bytes of a safetensors file."""
    return safetensors.torch.save(
        {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in model.state_dict().items()
        }
    )


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights and buffers of ``model`` to a safetensors file.

    The file appears whole or not at all: it is written under another name and renamed.

    Raises:
        ModelError: the file cannot be written, such as into a folder that does not exist.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(unfinished, "wb") as file:
            file.write(weights_bytes(model))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise ModelError(f"{path}: cannot be written ({error.strerror}); check it") from error


def _read(path: Path) -> Any:
    if path.is_dir():
        raise ModelError(f"weights {path} is a folder; name the file in it")
    if not path.is_file():
        raise ModelError(f"weights file {path} does not exist; check the path")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with open(path, "rb") as file:
            bare = file.read(2) in _BARE_PICKLES
        if not bare:
            with warnings.catch_warnings():  # they repeat what our own message says
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged bytes lead it to
        raise _unreadable(path, error) from error
    raise _pickled(path)


def _unreadable(path: Path, error: Exception) -> ModelError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if path.suffix != ".safetensors":
        if "GLOBAL" in str(error) or "TorchScript" in str(error):
            return _pickled(path)
        # Followed by torch's advice to run the file after all; a bare number is a pickle's key.
        if "weights_only" in reason or reason.isdigit():
            reason = "torch.save did not write it"
    return ModelError(
        f"{path}: cannot be read as weights ({shortened(reason, 100)}); it may be incomplete, "
        "get it again"
    )


def _pickled(path: Path) -> ModelError:
    return ModelError(
        f"{path} contains a pickled object, not plain weights, and was not run; load it where "
        "you trust it and save model.state_dict() with safetensors"
    )


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path}: needs names with tensors, but got {shortened(content)}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelError(
                f"{path}: needs names with tensors, but {shortened(name)} holds "
                f"{type(value).__name__}; save model.state_dict() alone"
            )
    if all(name.startswith("module.") for name in content):
        return {name.removeprefix("module."): value for name, value in content.items()}
    return dict(content)


def _counters(model: nn.Module) -> dict[str, Tensor]:
    return {name: t for name, t in model.state_dict().items() if name.endswith(_COUNTER)}


def _without_selections(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out option-A shortcuts written as convolutions, where the model computes the same."""
    same = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, PadShortcut)
        and f"{name}.weight" in weights
        and torch.equal(weights[f"{name}.weight"], module.as_selection().weight)
    }
    return {name: tensor for name, tensor in weights.items() if name not in same}


def _check_names(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    expected = model.state_dict().keys()
    missing = [k for k in expected if k not in weights and not k.endswith(_COUNTER)]
    unexpected = [name for name in weights if name not in expected]
    parts = [
        f"{len(names)} {kind} ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"
        for kind, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    if parts:
        raise ModelError(
            f"{path}: its names must be the model's, but it has {' and '.join(parts)}; "
            "choose the architecture that it was trained with"
        )


def _check_shapes(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    first, last = (f"{layers[i][0]}.weight" if layers else "" for i in (0, -1))
    for name, wanted in model.state_dict().items():
        found = weights.get(name, wanted)
        if found.shape == wanted.shape:
            continue
        there, here = tuple(found.shape), tuple(wanted.shape)
        advice = "choose the architecture that it was trained with"
        if name == last and there[1:] == here[1:]:
            advice = (
                f"the file has {there[0]} classes, the data {here[0]}: "
                "give weights that were trained for these classes"
            )
        elif name == first and (there[0], there[2:]) == (here[0], here[2:]):
            advice = (
                f"the file expects images of {there[1]} channels, the data has {here[1]}: "
                "give weights that were trained on such images"
            )
        raise ModelError(f"{path}: {name} is {there} in the file, {here} in the model; {advice}")
