"""Messages that tell a user why layers keep all their channels."""

import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from slimtune.errors import PruningError

OUTPUT = "the network's output"
"""Why a classifier keeps all its channels."""
MIXED = "its channels are mixed in a way that cannot be followed"
ONLY_TRAINING = "training uses it in a way that evaluation does not show"
TIED_TO_EACH_OTHER = "its channels are tied to each other"
ENDLESS = "each of its channels is tied to more and more of the others"

_LAYERS = (_ConvNd, nn.Linear, _BatchNorm, nn.PReLU)
_FEW = 3
_TORCH = str(Path(torch.__file__).parent)


def passes_through(operations: Iterable[str]) -> str:
    """Return that channels cannot be followed through operations such as ``"reshape"``."""
    names = list(dict.fromkeys(operations)) or ["operation"]
    articles = [f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in names]
    listed = " and ".join(filter(None, [", ".join(articles[:-1]), articles[-1]]))
    return f"goes through {listed} that cannot be followed"


def run_cut(model: nn.Module, batch: Tensor) -> Tensor:
    """Return what a network gives after channels were removed from it.

    Raises:
        PruningError: it fails; names the module whose forward does, and the line.
    """
    try:
        output: Tensor = model(batch)
    except Exception as error:
        raise PruningError(_failure(model, batch, _line_of(error))) from error
    return output


def _failure(model: nn.Module, batch: Tensor, line: str) -> str:
    """Return in which module a forward pass fails, and what that says of the module.

    A layer of torch fails because it is handed another count than it was cut to, which is for
    the module that calls it to answer.
    """
    names = {module: name for name, module in model.named_modules()}
    inside: list[nn.Module] = []

    def leave(*_: object) -> None:
        inside.pop()

    hooks = [m.register_forward_pre_hook(lambda m, _: inside.append(m)) for m in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    try:
        model(batch)
    except Exception:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    own = [module for module in inside if not is_of_torch(module)]
    caller = with_class(names[(own or [model])[-1]], (own or [model])[-1])
    if inside and is_of_torch(inside[-1]) and isinstance(inside[-1], _LAYERS):
        layer = with_class(names[inside[-1]], inside[-1])
        return (
            f"without some of its channels {caller} hands {layer} a number of channels that does "
            f"not fit it{line}"
        )
    return (
        f"without some of its channels the forward of {caller} fails{line}, as where it holds "
        "fixed counts of channels"
    )


def with_class(name: str, module: nn.Module) -> str:
    """Return a module's name and class, as ``"layer1.0.conv (Conv2d)"``."""
    return f"{name or 'the network'} ({type(module).__name__})"


def is_of_torch(module: nn.Module) -> bool:
    """Return whether a module's forward is torch's own."""
    return str(getattr(type(module).forward, "__module__", "")).startswith("torch.")


def mixed(functions: Iterable[str], readers: Mapping[str, nn.Module]) -> str:
    """Return that numbers differ after a removal, and what stands between the layers.

    Args:
        functions: names of those that are called between the layer and those that read it.
        readers: the layers that read it, by name.
    """
    layers = [
        with_class(name, module)
        + ("" if is_of_torch(module) else ", which has a forward of its own,")
        for name, module in list(readers.items())[:_FEW]
    ]
    called = list(dict.fromkeys(functions))[:_FEW]
    way = f", on the way to {' and '.join(layers)}" if layers else ""
    return (MIXED + way + (f" through {', '.join(called)}" if called else "")).rstrip(",")


def _line_of(error: Exception) -> str:
    """Return where in code outside torch an error came from, such as ``" at net.py:12"``."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith((_TORCH, __file__))]
    return f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
