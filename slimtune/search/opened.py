"""A run opened for its users: one whose members become torch modules."""

from importlib import import_module
from pathlib import Path
from typing import Any

from slimtune.results.run import Run
from slimtune.results.run import open_run as open_light


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading, also while a search writes to it.

    ``run.pick("knee").load()`` gives a torch module; torch is imported by then, not before.

    Raises:
        RunError: it is not a slimtune run, is damaged, or has another schema.
    """
    return open_light(path, _load)


def _load(folder: Path) -> Any:
    return import_module("slimtune.search.saved").load_model(folder)
