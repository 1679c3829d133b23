"""The code that travels to the workers of a cluster: this package, and the user's own modules."""

import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from slimtune.errors import ConfigError

PACKAGE = Path(__file__).parents[1]
EXCLUDED = ["**/__pycache__", "*.pyc"]


def runtime_env(files: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the Ray runtime environment in which workers need no copy of our or the user's code.

    What these import (torch, onnxruntime...) must be installed on every node.

    Args:
        files: the user's Python files, as for `modules_to_ship`.

    Raises:
        ConfigError: as `modules_to_ship`.
    """
    return {"py_modules": modules_to_ship(files), "excludes": EXCLUDED}


def modules_to_ship(files: Sequence[Path] = ()) -> list[str]:
    """Return the folders of packages and the files of modules that a worker has to import.

    These are this package, the given files, and whatever this process has imported from the
    folders that the given files lie in. A worker finds each under its own name: ``net.py`` as
    ``net``.

    Args:
        files: Python files of the user, which this process has imported already.

    Raises:
        ConfigError: a file is not there, or could not be imported by its name.
    """
    found = {str(PACKAGE): None}  # a dict, for its order
    for file in files:
        file = Path(file).expanduser().absolute()
        _check_importable(file)
        found[str(_top(file, file.parent) or file)] = None
        found |= dict.fromkeys(str(path) for path in _imported_from(file.parent))
    return list(found)


def _check_importable(file: Path) -> None:
    if not file.is_file():
        raise ConfigError(f"{file}: the workers need it, but there is no such file")
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise ConfigError(
            f"{file}: the workers import it by its name, but {file.name!r} is not a Python "
            "module's; rename it to letters, digits and _ with .py at the end"
        )


def _imported_from(folder: Path) -> Iterable[Path]:
    """Yield the top of every loaded module that lies in a folder, installed ones aside."""
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not file or any(Path(file).is_relative_to(place) for place in installed):
            continue
        top = _top(Path(file), folder)
        if top is not None:
            yield top


def _top(file: Path, folder: Path) -> Path | None:
    """Return the package or module directly in ``folder`` that ``file`` belongs to."""
    if not file.is_relative_to(folder):
        return None
    name = file.relative_to(folder).parts[0]
    top = folder / name
    importable = top.suffix == ".py" if top.is_file() else (top / "__init__.py").is_file()
    return top if importable and Path(name).stem.isidentifier() else None
