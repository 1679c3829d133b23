"""Numbers as the command line says them."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

_KIB = 1024


def accuracy(score: float, error: float | None = None, images: int | None = None) -> str:
    """Return an accuracy of 0..1, such as ``"0.9173 ± 0.0028 (n = 10000)"``."""
    text = f"{score:.4f}"
    text += "" if error is None else f" ± {error:.4f}"
    return text + ("" if images is None else f" (n = {images})")


def size(amount: float) -> str:
    """Return bytes as ``"285.9 KiB"``."""
    return f"{amount / _KIB:.1f} KiB"


def latency(ms: float, stable: bool = True) -> str:
    """Return milliseconds as ``"0.214 ms"``, with a ``~`` if the machine was too busy to tell."""
    digits = 4 if ms < 0.1 else 3 if ms < 10 else 1
    return f"{ms:.{digits}f} ms" + ("" if stable else " ~")


def count(number: float) -> str:
    """Return a count as ``"269.7 k"`` or ``"40.55 M"``."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.4g} {unit}"
    return f"{number:.4g}"


def duration(seconds: float) -> str:
    """Return seconds as ``"1:52"`` or ``"2:01:52"``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


_FORMS: dict[str, Callable[[float], str]] = {
    "accuracy": accuracy,
    "balanced_accuracy": accuracy,
    "size_bytes": size,
}
_TITLES = {
    "size_bytes": "size",
    "latency_ms": "latency",
    "balanced_accuracy": "balanced accuracy",
}


def value(name: str, measured: float, stable: bool = True) -> str:
    """Return one measured value in the form and unit of its objective.

    Args:
        name: of the objective.
        measured: in its unit.
        stable: whether the machine was quiet enough for a latency.
    """
    if name == "latency_ms":
        return latency(measured, stable)
    return _FORMS.get(name, count)(measured)


def objective(name: str, measured: float, stable: bool = True) -> str:
    """Return one measured value with its title, such as ``"size 285.9 KiB"``."""
    title = _TITLES.get(name, name.partition(":")[0])  # f1:maximize, a metric of the user's own
    return f"{title} {value(name, measured, stable)}"


def objectives(values: Mapping[str, float], stable: bool = True) -> str:
    """Return the objectives of a trial on one line, an unstable latency with a ``~``."""
    return "  ".join(objective(name, measured, stable) for name, measured in values.items())


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
