"""Numbers as a report says them."""

import math

from slimtune.results.objectives import Objective

MISSING = "–"
_KIB = 1024


def scaled(known: Objective, value: float) -> float:
    """Return a value in the unit that people read: bytes in KiB, all else as it is."""
    return float(value) / _KIB if known.unit == "B" else float(value)


def unit(known: Objective) -> str:
    """Return the unit of `scaled` for an axis, such as ``" (KiB)"``; empty if there is none."""
    name = "KiB" if known.unit == "B" else known.unit
    return f" ({name})" if name else ""


def quantity(known: Objective, value: float) -> str:
    """Return one measured value with its unit, such as ``"14.6 KiB"``."""
    if not math.isfinite(value):
        return MISSING
    if known.high == 1.0:
        return f"{value:.4f}"
    if known.unit == "B":
        return f"{value / _KIB:,.1f} KiB"
    if known.unit == "ms":
        return f"{value:.3f} ms" if value < 10 else f"{value:,.1f} ms"
    return _count(value)


def change(known: Objective, value: float, ratio: bool) -> str:
    """Return a change: ``"+1.2 points"``, ``"7.6× smaller"`` or ``"1.2× larger"``."""
    if not ratio:
        text = f"{100 * value:+.2f} points" if known.high == 1.0 else f"{value:+.4g}"
        return text.replace("-", "−")
    smaller, larger = ("faster", "slower") if known.unit == "ms" else ("smaller", "larger")
    word, factor = (smaller, 1 / value) if value < 1 else (larger, value)
    if known.direction == "maximize":
        word = "lower" if value < 1 else "higher"
    return f"{factor:.2f}× {word}" if round(factor, 2) != 1 else "the same"


def spread(known: Objective, low: float, high: float, ratio: bool) -> str:
    """Return the range of one standard error to both sides, or nothing if there is none."""
    if math.isnan(low):
        return ""
    if not ratio:
        half = (high - low) / 2
        return f"± {100 * half:.2f}" if known.high == 1.0 else f"± {half:.4g}"
    ends = sorted((1 / low, 1 / high)) if (low * high) ** 0.5 < 1 else [low, high]
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def times(ratio: float) -> str:
    """Return how many times smaller or faster, such as ``"82.5×"``."""
    return f"{ratio:.1f}×" if math.isfinite(ratio) else ""


def duration(seconds: float) -> str:
    """Return seconds as ``"1 h 4 min"``, ``"12 min 5 s"`` or ``"3.2 s"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _count(value: float) -> str:
    for name, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {name}"
    return f"{value:.4g}"
