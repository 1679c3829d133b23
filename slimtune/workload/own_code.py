"""Code of the user's own, ``./net.py:make`` or ``pkg.mod:make``, which needs consent to run.

To load a reference is to run the code it names, so each needs consent first: typed on the command
line or passed from Python it has it (`allow_code`); read from a config, a run or a saved model
it has not, until somebody says ``--allow-code`` (`allow_all_code`). A file's module has a name
made of its path; its folder is importable while it loads and, behind all others, afterwards.
Objects that were handed in as such (`keep_object`) have consent: nothing is loaded.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from slimtune.errors import ConfigError, UserError, did_you_mean, shortened

_REFERENCE = re.compile(
    r"(?P<file>[^:]+\.py):(?P<name>[A-Za-z_]\w*)"
    r"|(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<thing>[A-Za-z_]\w*)"
)
_OBJECT = re.compile(r"object\.(?P<key>[a-z]+)_[0-9a-f]{12}:[A-Za-z_]\w*")
_AGAIN = {
    "model": "st.search(..., resume=True, model=...) or st.load_model(FOLDER, model=...)",
    "data": "st.search(..., resume=True, data=...)",
    "metric": "st.search(..., resume=True, objectives=...)",
    "weights": "weights=...",
}
"""Parameter that an object was handed in as -> how to hand it in again."""
_OUTSIDE = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib"))


class _Permission:
    """The references that may be loaded in this process."""

    def __init__(self) -> None:
        self.references: set[str] = set()
        self.everything = False


_permission = _Permission()
_loaded: dict[str, Any] = {}
_modules: dict[str, list[ModuleType]] = {}
"""Reference -> the modules outside of installed packages that loading it brought in."""


def is_code(text: object, families: Sequence[str] = ()) -> bool:
    """Return whether ``text`` has the form of a code reference.

    Args:
        text: such as ``"./net.py:make"``; anything else than a string is none.
        families: words before a colon that mean something else, such as ``"torchvision"``.
    """
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    return match is not None and match["module"] not in families


def names_nothing(reference: str) -> bool:
    """Return whether a code reference begins with one word that is no module either: a typo."""
    match = _REFERENCE.fullmatch(reference)
    module = match["module"] if match else None
    if module is None or "." in module or module in sys.modules:
        return False
    return module not in sys.builtin_module_names and _spec(module) is None


def anchored_code(reference: str) -> str:
    """Return the reference with its file, if it has one, from the root of the file system."""
    match = _REFERENCE.fullmatch(reference)
    if match is None or match["file"] is None:
        return reference
    return f"{Path(match['file']).expanduser().absolute()}:{match['name']}"


def object_key(reference: str) -> str | None:
    """Return what an object was handed in as, such as ``"model"``; None where it is code."""
    match = _OBJECT.fullmatch(reference)
    return None if match is None else match["key"]


def called(reference: str) -> str:
    """Return what messages call a reference; an object by the name that its user knows."""
    key = object_key(reference)
    return reference if key is None else f"{key} {reference.partition(':')[2]}"


def keep_object(reference: str, thing: Any, modules: Sequence[ModuleType] = ()) -> None:
    """Let a reference stand for an object that was handed in, while this process lasts.

    Args:
        reference: ``object.KEY_DIGEST:NAME``.
        thing: what it stands for.
        modules: files of the user's that its code is in.
    """
    _loaded[reference] = thing
    _modules[reference] = list(modules)


def allow_code(*references: str) -> None:
    """Let this process load these references; relative files are those of the current folder."""
    _permission.references.update(map(anchored_code, references))


def allow_all_code() -> None:
    """Let this process load every reference, wherever it was read."""
    _permission.everything = True


@contextmanager
def consent_ends() -> Iterator[None]:
    """Take back, at the end of the block, what was allowed in it."""
    before = set(_permission.references), _permission.everything
    try:
        yield
    finally:
        _permission.references, _permission.everything = before


def is_all_allowed() -> bool:
    """Return whether this process may do everything that a config or a run asks for."""
    return _permission.everything


def is_allowed(reference: str) -> bool:
    """Return whether this process may load the reference; an object is there, or cannot be."""
    if object_key(reference) is not None:
        return True
    return _permission.everything or anchored_code(reference) in _permission.references


def load_code(reference: str, kind: type[UserError] = ConfigError) -> Any:
    """Return what a reference names, importing its module the first time.

    Args:
        reference: ``FILE.py:NAME`` or ``MODULE:NAME``; modules of the current folder are found.
        kind: of the error when it cannot be loaded.

    Raises:
        ConfigError: nobody allowed it.
        UserError: of ``kind``: no such file, module or name, or the code fails on import.
    """
    reference = anchored_code(reference)
    if not is_allowed(reference):
        raise ConfigError(
            f"code reference '{reference}' in a config or a stored run needs --allow-code, "
            "because loading it runs that code"
        )
    if reference not in _loaded and (key := object_key(reference)) is not None:
        raise kind(
            f"{reference} was handed in as a Python object, which this process does not have; "
            f"hand it in again ({_AGAIN.get(key, 'in Python')}), or put what makes it into a "
            "file and name it FILE.py:NAME"
        )
    if reference not in _loaded:
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise kind(f"{shortened(reference)} is not FILE.py:NAME or MODULE:NAME")
        before = set(sys.modules)
        file = match["file"]
        module = _import_file(Path(file), kind) if file else _import(match["module"], kind)
        _loaded[reference] = _named(module, match["name"] or match["thing"], file, kind)
        brought = [sys.modules[name] for name in sys.modules.keys() - before]
        found = {each.__name__: each for each in (module, *brought)}
        _modules[reference] = [each for each in found.values() if is_local(each)]
    return _loaded[reference]


def provide_code(things: dict[str, Any]) -> None:
    """Allow these references, and know what they name without importing: in a worker process."""
    allow_code(*things)
    _loaded.update(things)


def loaded_code() -> dict[str, Any]:
    """Return what was loaded in this process and is allowed, by its anchored reference."""
    return {name: thing for name, thing in _loaded.items() if is_allowed(name)}


def local_modules(reference: str) -> list[ModuleType]:
    """Return the modules that a loaded reference needs and that are in no installed package."""
    return list(_modules.get(anchored_code(reference), ()))


def local_files(reference: str) -> list[Path]:
    """Return the files of `local_modules`, sorted: what another machine would need of it."""
    return sorted(Path(str(module.__file__)) for module in local_modules(reference))


def code_digest(reference: str) -> str:
    """Return a SHA-256 over the content of `local_files`; an object's name says its content."""
    digest = hashlib.sha256(reference.encode() if object_key(reference) else b"")
    for file in local_files(reference):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def is_local(module: ModuleType) -> bool:
    """Return whether a module is a file of the user's: not built in, not installed, not ours."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] == "slimtune":
        return False
    return not str(Path(file).absolute()).startswith(_OUTSIDE)


def _spec(module: str) -> Any:
    return PathFinder.find_spec(module, [*sys.path, str(Path.cwd())])


def _import(name: str, kind: type[UserError]) -> ModuleType:
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, None, error, kind) from error
        raise kind(
            f"no module named '{error.name}' in the current folder or on PYTHONPATH; check the "
            f"name, or give the file: DIR/{name.replace('.', '/')}.py:NAME"
        ) from None
    except (Exception, SystemExit) as error:
        raise _failed(name, None, error, kind) from error


def _import_file(file: Path, kind: type[UserError]) -> ModuleType:
    if not file.is_file():
        raise kind(f"file {file} does not exist; check the path")
    name = f"own_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    folder = str(file.parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _failed(str(file), file, error, kind) from error
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:  # for what the code imports later
            sys.path.append(folder)
    return module


def _failed(
    what: str, file: Path | None, error: BaseException, kind: type[UserError]
) -> UserError:
    """Return one line on why code could not be imported, with the line of the file it is in."""
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)
    ]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    where = f"{what}:{line}" if line else what
    words = (str(error).splitlines() or [""])[0]
    return kind(f"{where}: cannot be imported: {type(error).__name__}: {words}; fix the code")


def _named(module: ModuleType, name: str, file: str | None, kind: type[UserError]) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    own = [
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    ]
    found = f" (found: {', '.join(own)})" if own else ""
    where = Path(file).name if file else module.__name__
    raise kind(f"{where} has no '{name}'{found}.{did_you_mean(name, own)}")
