"""The name of an object in settings: one to import it by, or one of its own."""

import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from slimtune.workload.objects.digests import digest_of
from slimtune.workload.own_code import is_local, keep_object

_LETTERS = 12
"""Hexadecimal digits of a digest in a name: two contents of one name are not to be expected."""


def importable_name(thing: object) -> str | None:
    """Return ``MODULE:NAME`` of a function or class, or None where nobody could import it so.

    That is what stands in a notebook, at a prompt or in the script that runs (``__main__``), what
    is defined inside a function, a lambda, and what lies in a folder that Python does not search.
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    loaded = sys.modules.get(module) if isinstance(module, str) else None
    if loaded is None or module == "__main__" or not str(name).isidentifier():
        return None
    found = getattr(loaded, name, None) is thing and _is_found(loaded)
    return f"{module}:{name}" if found else None


def kept_reference(key: str, name: str, content: object, thing: object) -> str:
    """Keep an object under a name of its own, and return it: ``object.KEY_DIGEST:NAME``.

    Args:
        key: the parameter that it was handed in as, such as ``"model"``.
        name: what people call it.
        content: what the digest is of.
        thing: what the name shall stand for, as if it had been imported.
    """
    plain = re.sub(r"\W", "_", name).strip("_") or key
    plain = plain if plain.isidentifier() else f"{key}_{plain}"
    reference = f"object.{key}_{digest_of(content)[:_LETTERS]}:{plain}"
    keep_object(reference, thing, _modules_of(content))
    return reference


def _is_found(module: ModuleType) -> bool:
    """Return whether Python would find the module by its name: its file lies where it looks."""
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ in sys.builtin_module_names
    whole = Path(file).absolute().with_suffix("")
    place = whole.parent if whole.name == "__init__" else whole
    names = module.__name__.split(".")
    if list(place.parts[-len(names) :]) != names:
        return False
    root = place.parents[len(names) - 1]
    return any(Path(entry or ".").absolute() == root for entry in sys.path)


def _modules_of(thing: Any) -> list[ModuleType]:
    """Return the user's own modules that an object's code is in: they travel to workers."""
    while isinstance(thing, partial):
        thing = thing.func
    modules = getattr(thing, "modules", None)
    parts = [type(m) for m in modules()] if callable(modules) and not _is_code(thing) else [thing]
    named = {getattr(part, "__module__", None) for part in parts}
    loaded = [sys.modules[name] for name in named if name in sys.modules and name != "__main__"]
    return [module for module in loaded if is_local(module)]


def _is_code(thing: object) -> bool:
    return isinstance(thing, type) or hasattr(thing, "__code__")
