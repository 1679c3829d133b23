"""Phrases that several verbs print: a measured value, a note, and how to call slimtune."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from slimtune.results.objectives import OBJECTIVES
from slimtune.results.units import quantity


def measurement(name: str, measured: float, stable: bool = True) -> str:
    """Return a measured value with its title, such as ``"size 285.9 KiB"``.

    Args:
        name: the objective's name.
        measured: the value, in the objective's unit.
        stable: whether the machine was quiet enough for a latency.
    """
    objective = OBJECTIVES[name]
    return f"{objective.title} {quantity(objective, measured, stable)}"


def measurements(values: Mapping[str, float], stable: bool = True) -> str:
    """Return a trial's objectives on one line; a ``~`` marks an unstable latency."""
    return "  ".join(measurement(name, measured, stable) for name, measured in values.items())


def notes(texts: Iterable[str]) -> list[str]:
    """Return the lines that say what a source of data left out."""
    return [f"note      {text}" for text in texts]


def decoding(done: int, total: int) -> str:
    """Return how many of the images have been decoded, in words."""
    return f"decoding images: {done} of {total}"


def program() -> str:
    """Return what to type to start slimtune: its name, or the path that started it.

    ``make demo`` starts it by its path; the shell would not find plain ``slimtune`` then.
    """
    if shutil.which("slimtune") is not None:
        return "slimtune"
    started = Path(sys.argv[0])
    if started.name == "slimtune" and started.is_file():
        return shlex.quote(os.path.relpath(started))
    return f"{shlex.quote(sys.executable)} -m slimtune"


def encodable(text: str) -> str:
    """Return ``text`` with a ? for each character that standard output cannot encode."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
