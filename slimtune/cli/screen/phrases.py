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
    """Return one measured value with its title, such as ``"size 285.9 KiB"``.

    Args:
        name: of the objective.
        measured: in its unit.
        stable: whether the machine was quiet enough for a latency.
    """
    objective = OBJECTIVES[name]
    return f"{objective.title} {quantity(objective, measured, stable)}"


def measurements(values: Mapping[str, float], stable: bool = True) -> str:
    """Return the objectives of a trial on one line, an unstable latency with a ``~``."""
    return "  ".join(measurement(name, measured, stable) for name, measured in values.items())


def notes(texts: Iterable[str]) -> list[str]:
    """Return the lines that tell what a source of data left out."""
    return [f"note      {text}" for text in texts]


def program() -> str:
    """Return what to type for slimtune here: its name, or the path it was started by.

    ``make demo`` starts it by its path; a hint that says ``slimtune`` would not be found then.
    """
    if shutil.which("slimtune") is not None:
        return "slimtune"
    started = Path(sys.argv[0])
    if started.name == "slimtune" and started.is_file():
        return shlex.quote(os.path.relpath(started))
    return f"{shlex.quote(sys.executable)} -m slimtune"


def encodable(text: str) -> str:
    """Return ``text`` without characters that standard output's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
