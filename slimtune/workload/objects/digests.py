"""A digest of the content of a Python object, the same in another process."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def digest_of(thing: object) -> str:
    """Return a SHA-256 over what an object holds: 64 hexadecimal digits.

    Of arrays and tensors: type, shape and values. Of a network: its structure, the code of its
    classes, its weights and plain attributes. Of a function or class: its source, and that of the
    functions and classes of the same module that it uses; where there is no source, such as at
    Python's prompt, its bytecode.

    Args:
        thing: any object; of one of another kind, its class and its attributes count.
    """
    digest = hashlib.sha256()
    _feed(digest.update, thing, {})
    return digest.hexdigest()


_Update = Callable[[bytes], None]


def _feed(update: _Update, thing: object, seen: dict[int, object]) -> None:
    """Hand the bytes of an object to ``update``; an object that occurs twice counts once."""
    if isinstance(thing, _PLAIN):
        update(f"{type(thing).__name__} {thing!r}\n".encode())
        return
    if isinstance(thing, Tensor):
        _feed_tensor(update, thing)
        return
    if isinstance(thing, np.ndarray):
        update(f"array {thing.dtype} {thing.shape}\n".encode())
        update(np.ascontiguousarray(thing).tobytes() if thing.dtype != object else b"")
        return
    if id(thing) in seen:
        return
    seen[id(thing)] = thing  # held, so that nothing else gets its id
    update(f"{type(thing).__qualname__}\n".encode())
    for part in _parts(thing):
        _feed(update, part, seen)


def _feed_tensor(update: _Update, tensor: Tensor) -> None:
    update(f"tensor {tensor.dtype} {tuple(tensor.shape)}\n".encode())
    plain = tensor.detach().cpu().contiguous().flatten()
    update(plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b"")


def _parts(thing: Any) -> Iterator[object]:
    """Yield what an object consists of; in what order is part of its name."""
    if isinstance(thing, nn.Module):
        yield from _network_parts(thing)
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from (key, value)
    elif isinstance(thing, list | tuple):
        yield from thing
    elif isinstance(thing, set | frozenset):
        yield from sorted(map(repr, thing))
    elif isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, MethodType):
        yield from (thing.__func__, thing.__self__)
    elif isinstance(thing, FunctionType):
        yield from _function_parts(thing)
    elif isinstance(thing, type):
        yield from _class_parts(thing)
    elif dataclasses.is_dataclass(thing):
        yield from (type(thing).__qualname__, vars(thing))
    elif not callable(thing) or hasattr(thing, "__dict__"):
        yield from (type(thing), getattr(thing, "__dict__", {}))


def _network_parts(network: nn.Module) -> Iterator[object]:
    yield repr(network)
    for name, module in network.named_modules():
        if not type(module).__module__.startswith("torch."):
            yield from (name, type(module))
        plain = {k: v for k, v in vars(module).items() if isinstance(v, _PLAIN) and k[0] != "_"}
        plain.pop("training", None)
        yield plain
    yield dict(network.state_dict())


def _function_parts(function: FunctionType) -> Iterator[object]:
    # The source of a lambda is its whole line, which may hold another one.
    source = "" if function.__name__ == "<lambda>" else _source(function)
    yield source or _code_parts(function.__code__)
    yield from (function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in _names(function.__code__):
        used = function.__globals__.get(name)
        own = getattr(used, "__module__", None) == function.__module__
        if own and isinstance(used, FunctionType | type):
            yield from (name, used)


def _class_parts(kind: type) -> Iterator[object]:
    yield kind.__qualname__
    if kind.__module__.partition(".")[0] in ("torch", "builtins", "abc"):
        return
    yield _source(kind)
    yield from (base for base in kind.__bases__ if base is not object)
    for name, value in vars(kind).items():
        if isinstance(value, FunctionType):
            yield from (name, value)


def _source(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):  # defined at a prompt, or made by exec
        return ""


def _code_parts(code: CodeType) -> tuple[object, ...]:
    inner = tuple(_code_parts(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts)
    return (code.co_code, code.co_names, code.co_varnames, inner)


def _names(code: CodeType) -> list[str]:
    inner = [name for c in code.co_consts if isinstance(c, CodeType) for name in _names(c)]
    return sorted({*code.co_names, *inner})
