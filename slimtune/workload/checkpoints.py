"""Weights files: read without ever running code in them, written as safetensors."""

import os
import warnings
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from slimtune.errors import ModelError, PickledWeightsError, shortened
from slimtune.workload.shortcut import PadShortcut
from slimtune.workload.weight_sets import WeightSet, fitting, nearest, sets_in

_COUNTER = "num_batches_tracked"  # old checkpoints lack it; no output depends on it
_ZIP, _LEGACY = b"PK", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first bytes of files of torch.save; before torch 1.6, a pickled magic number."""
_BARE_PICKLES = (b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save begins otherwise


def load_weights(model: nn.Module, path: Path, content: Any = None) -> str:
    """Load a weights file into ``model``, in place; names and shapes must be the model's.

    Files in the safetensors format are read by safetensors, whatever their name. All others are
    read by ``torch.load`` with ``weights_only=True`` only, so that no pickled object is ever run.
    The weights may be in any entry of the file, beside other things, and their names may have any
    one prefix (see `slimtune.workload.weight_sets`). Half precision becomes single. If both plain
    weights and an average of them (``ema``, ``swa``) fit, the plain ones are loaded.

    Args:
        model: receives the weights; left as it was when the file is refused.
        path: the file.
        content: of the file, if it was read already: a state dict, or an object around one.

    Returns:
        Which part of the file was loaded, in words, if other weights in it would fit too or if
        some of its tensors belong to no part of the model; else empty.

    Raises:
        ModelError: a file that is missing, damaged, or holds objects other than tensors;
            names or shapes that differ from the model's; several sets of weights that fit;
            weights that are not finite.
    """
    path = Path(path)
    content = _read(path) if content is None else content
    weight_set, words = _chosen(model, sets_in(content), path, content)
    weights = _without_selections(model, weight_set.tensors)
    _check_names(model, weights, path)
    _check_shapes(model, weights, path)
    _check_numbers(model, weights, path)
    model.load_state_dict({**_counters(model), **weights}, strict=True)
    return words


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file that holds weights and nothing else, by name.

    Raises:
        ModelError: a file that is missing, damaged, or holds objects other than tensors.
    """
    sets = sets_in(content := _read(path))
    if not sets:
        raise _no_weights(path, content)
    return sets[0].tensors


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
        with open(path, "rb") as file:
            start = file.read(9)
        safe = start[8:] == b"{"  # behind the length of the header
        if safe or (path.suffix == ".safetensors" and not start.startswith(_ZIP)):
            return safetensors.torch.load_file(path)
        if start[:2] not in _BARE_PICKLES:
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
        f"{path}: cannot be read as weights ({shortened(reason, 100)}); it may be incomplete: "
        "download or copy it again"
    )


def _pickled(path: Path) -> ModelError:
    """Return the refusal, with two lines that a user may run to take the weights out."""
    with open(path, "rb") as file:
        start = file.read(len(_LEGACY))
    opened = f"torch.load({str(path)!r}, map_location='cpu', weights_only=False)"
    if not start.startswith((_ZIP, _LEGACY)):
        opened = f"__import__('pickle').load(open({str(path)!r}, 'rb'))"
    plain = path.with_name(f"{path.stem}-weights.pt")
    return PickledWeightsError(
        f"{path} contains a pickled object, not plain weights, and was not run; if you trust it, "
        f"run these two lines where its code can be imported, and give {plain.name}:\n"
        f"import torch; c = {opened}\n"
        "torch.save({k: {n: t for n, t in getattr(v, 'state_dict', lambda: v)().items() "
        "if torch.is_tensor(t)} for k, v in [('model', c), *getattr(c, 'items', list)()] "
        f"if isinstance(v, (dict, torch.nn.Module))}}, {str(plain)!r})"
    )


def _no_weights(path: Path, content: Any) -> ModelError:
    return ModelError(f"{path}: needs names with tensors, but got {shortened(content)}")


def _chosen(
    model: nn.Module, sets: list[WeightSet], path: Path, content: Any
) -> tuple[WeightSet, str]:
    """Return the set of weights in a file that fits ``model``, and in words which one it is.

    Raises:
        ModelError: the file holds no weights, or several that fit.
    """
    if not sets:
        raise _no_weights(path, content)
    names = model.state_dict().keys()
    required = [name for name in names if not name.endswith(_COUNTER)]
    allowed = {*names, *_selections(model)}
    fits = [part for each in sets for part in fitting(each, allowed, required)]
    if not fits:
        return nearest(sets, names), ""
    # Names decide first, then shapes; plain weights go before averages over the training.
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    alike = [fit for fit in fits if all(fit.tensors[n].shape == shapes[n] for n in required)]
    best = [fit for fit in alike or fits if not fit.is_averaged] or alike or fits
    if not all(_same(fit, best[0]) for fit in best):
        places = ", ".join(f"'{fit.place}'" for fit in best)
        raise ModelError(
            f"{path}: holds {len(best)} sets of weights that fit the model ({places}); save only "
            "the one that you mean"
        )
    return best[0], _taken(best[0], alike or fits)


def _same(first: WeightSet, second: WeightSet) -> bool:
    return first is second or all(
        torch.equal(tensor, second.tensors[name])
        for name, tensor in first.tensors.items()
        if name in second.tensors
    )


def _taken(chosen: WeightSet, fits: list[WeightSet]) -> str:
    """Return which part of a file was loaded, if another part fits too or tensors are unused."""
    parts = []
    if others := ", ".join(f"'{fit.place}'" for fit in fits if not _same(fit, chosen)):
        parts.append(f"{others} would fit as well")
    if left := chosen.left_out:
        more = ", …" if len(left) > 3 else ""
        parts.append(f"the model has no {', '.join(left[:3])}{more}")
    return f"took '{chosen.place}'; {'; '.join(parts)}" if parts else ""


def _check_numbers(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    wanted = model.state_dict()
    for name, tensor in weights.items():
        if not wanted[name].is_floating_point():
            continue
        if tensor.is_quantized or not tensor.is_floating_point():
            raise ModelError(
                f"{path}: {name} must be floating point, but is {tensor.dtype}; give the weights "
                "from before they were quantized"
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: {name} must be finite, but has NaN or infinite values")


def _counters(model: nn.Module) -> dict[str, Tensor]:
    return {name: t for name, t in model.state_dict().items() if name.endswith(_COUNTER)}


def _selections(model: nn.Module) -> dict[str, PadShortcut]:
    """Return option-A shortcuts, by the name that they have where written as convolutions."""
    found = model.named_modules()
    return {f"{name}.weight": part for name, part in found if isinstance(part, PadShortcut)}


def _without_selections(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out option-A shortcuts written as convolutions, where the model computes the same."""
    same = {
        name
        for name, shortcut in _selections(model).items()
        if name in weights and torch.equal(weights[name], shortcut.as_selection().weight)
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
